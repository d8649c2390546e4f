"""Claims among hosts: one holder at a time, by the clock of the database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from backupman.errors import BusyError, StoreError
from backupman.records import Backup, Status
from backupman.store import Store
from backupman.store.claims import Holder
from tests.store.conftest import a_backup, finish, server_address

LONG = timedelta(hours=1)
ONE, OTHER = Holder("shop", "1", "home 1", "host1"), Holder("shop", "2", "home 2", "host2")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store that hosts share."""
    opened = Store.open(server_address(request, "postgres"))
    yield opened
    opened.close()


def age(store: Store) -> None:
    """Let more time pass than any claim lasts."""
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE backupman_claims SET until = until - interval '1 day'"))


def test_one_of_many_that_ask_at_once_gets_it(store: Store) -> None:
    asking = [Holder("shop", str(number), f"home {number}", f"host{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda holder: store.claims.take(holder, "lead", LONG), asking))
    (winner,) = [holder for holder, answer in zip(asking, answers, strict=True) if answer is None]
    assert {answer for answer in answers if answer} == {winner.host}


def test_it_is_free_again_when_it_was_released_or_its_time_is_up(store: Store) -> None:
    assert store.claims.take(ONE, "lead", LONG) is None
    assert store.claims.take(OTHER, "lead", LONG) == "host1"
    store.claims.release(OTHER, "lead")  # it is not theirs
    assert store.claims.take(OTHER, "lead", LONG) == "host1"
    store.claims.release(ONE, "lead")
    assert store.claims.take(OTHER, "lead", LONG) is None
    age(store)
    assert store.claims.take(ONE, "lead", LONG) is None


def test_what_has_ended_is_not_brought_back_by_renewing_it(store: Store) -> None:
    for name in ("lead", "source shop"):
        store.claims.take(ONE, name, LONG)
    assert store.claims.renew(ONE, LONG) == 2
    assert store.claims.lives("shop", "home 1")
    assert [claim.host for claim in store.claims.living()] == ["host1", "host1"]
    age(store)
    assert store.claims.renew(ONE, LONG) == 0
    assert not store.claims.lives("shop", "home 1")
    assert [claim.name for claim in store.claims.all("shop")] == ["lead", "source shop"]
    assert store.claims.living() == []


def test_a_process_takes_over_at_once_what_a_dead_one_of_its_own_state_folder_had(store: Store) -> None:
    store.claims.take(ONE, "lead", LONG)
    assert store.claims.take(Holder("shop", "3", "home 1", "renamed"), "lead", LONG) is None
    assert store.claims.renew(ONE, LONG) == 0
    assert store.claims.take(OTHER, "lead", LONG) == "renamed"


def test_other_installations_have_claims_of_their_own(store: Store) -> None:
    assert store.claims.take(ONE, "lead", LONG) is None
    assert store.claims.take(Holder("blog", "2", "home 2", "host2"), "lead", LONG) is None


def test_nobody_takes_over_in_the_middle_of_a_fenced_transaction(store: Store) -> None:
    store.claims.take(ONE, "lead", LONG)
    with store._sessions.writing() as session:
        store.claims.require(session, ONE, "lead")
        age_and_take = "UPDATE backupman_claims SET holder = '2' WHERE name = 'lead'"
        with store._engine.connect() as other, pytest.raises(Exception, match="lock timeout"):
            other.execute(text("SET lock_timeout = '100ms'"))
            other.execute(text(age_and_take))
    age(store)
    with pytest.raises(BusyError, match="another daemon of shop has taken over"), store._sessions.writing() as session:
        store.claims.require(session, ONE, "lead")


def test_a_host_that_is_frozen_in_a_transaction_keeps_no_record_from_the_others(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backupman.store._engines._FROZEN_SECONDS", 1)
    address = server_address(request, "postgres")
    frozen, other = Store.open(address), Store.open(address)
    backup = frozen.backups.begin(a_backup(), [])
    with (
        pytest.raises(StoreError, match=r"idle-in-transaction timeout|closed the connection"),
        frozen._sessions.writing() as session,
    ):
        session.get_one(Backup, backup.id, with_for_update=True)
        settled = other.backups.settle(backup.id, finish, lambda _: [])  # waits until the server has let go
        assert settled.status == Status.FINISHED
        session.connection().execute(text("SELECT 1"))
    frozen.close()
    other.close()
