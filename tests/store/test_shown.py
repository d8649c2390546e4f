"""The newest copies that were shown to be good are the same, whether few ever were or many."""

from datetime import timedelta

import pytest

from backupman.records import Backup, Status, Verification
from backupman.store import Store, statistics
from backupman.store.statistics import Series
from tests.store.conftest import START, a_backup, finish, statements

SHOP, BLOG = Series("Server", "shop"), Series("Server", "blog")


@pytest.fixture(params=[10_000, 0], ids=["few", "many"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many are few."""
    monkeypatch.setattr(statistics, "_FEW", request.param)


def made(store: Store, series: Series, hour: int) -> Backup:
    """A finished backup on two drives."""
    begun = START + timedelta(hours=hour)
    backup = a_backup("disk", "cloud", source=series.source, database=series.database, created_at=begun)
    return store.backups.settle(store.backups.begin(backup, []).id, finish, lambda _: [])


def looked_at(store: Store, backup: Backup, drive: str, level: str, hour: int, error: str | None = None) -> None:
    """One look at a copy."""
    [file] = [file for file in backup.drive_files if file.label == drive]
    look = Verification(
        backup_id=backup.id,
        instance="host1",
        drive=drive,
        level=level,
        good=error is None,
        error=error,
        at=START + timedelta(hours=hour),
        seconds=1.0,
    )
    (store.proofs.note(look) if level == "key" else store.proofs.verified(look, file.id))


@pytest.mark.usefixtures("way")
def test_the_newest_backup_counts_and_not_the_newest_look(store: Store) -> None:
    old, middle, new, newest = (made(store, SHOP, hour) for hour in range(4))
    other = made(store, BLOG, 9)
    looked_at(store, middle, "disk", "structure", hour=10)
    looked_at(store, old, "disk", "restore", hour=11)
    looked_at(store, old, "disk", "restore", hour=12)
    looked_at(store, new, "disk", "checksum", hour=13)
    looked_at(store, new, "disk", "checksum", hour=14, error="it is damaged")
    looked_at(store, newest, "disk", "key", hour=15)
    looked_at(store, old, "cloud", "checksum", hour=16)
    looked_at(store, other, "cloud", "restore", hour=17)

    def shown(how: statistics.Shown) -> list[tuple[Series, str | None, int]]:
        found = store.statistics.newest_on([SHOP, BLOG], ["disk", "cloud"], how)
        return [(copy.series, copy.drive, (copy.created_at - START) // timedelta(hours=1)) for copy in found]

    assert shown("verified") == [(SHOP, "disk", 1), (SHOP, "cloud", 0), (BLOG, "cloud", 9)]
    assert shown("proved") == [(SHOP, "disk", 0), (BLOG, "cloud", 9)]


def test_where_nothing_was_looked_at_no_backup_is_read(store: Store) -> None:
    series = [Series("Server", f"db{n}") for n in range(20)]
    with statements(store) as seen:
        assert store.statistics.newest_on(series, ["disk", "cloud"], "verified") == []
    assert len([text for text, _ in seen if "FROM" in text]) == 2, "it is not asked for each database"


def test_what_failed_before_the_databases_were_known_is_no_database_once_one_was_backed_up(store: Store) -> None:
    unknown, failed = Series("Server", ""), {"status": Status.FAILED, "dump_status": Status.FAILED}

    def fails(hour: int, series: Series) -> None:
        store.backups.change(made(store, series, hour).id, **failed)

    fails(0, unknown)
    assert store.statistics.own_series(["Server"]) == {unknown}
    fails(1, SHOP)
    assert store.statistics.own_series(["Server"]) == {unknown, SHOP}
    made(store, BLOG, 2)
    assert store.statistics.own_series(["Server"]) == {SHOP, BLOG}
    fails(3, unknown)
    fails(4, BLOG)
    assert store.statistics.own_series(["Server"]) == {unknown, SHOP, BLOG}
    made(store, SHOP, 5)
    assert store.statistics.own_series(["Server"]) == {SHOP, BLOG}
    made(store, Series("File", ""), 0)
    assert store.statistics.own_series(["File"]) == {Series("File", "")}
