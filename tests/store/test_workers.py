"""The workers on record: who lives, by its claim and PostgreSQL's clock, what each has under way, and what waits."""

from datetime import timedelta

from sqlalchemy import text

from backupman.records import AssignmentKind, new_id, now
from backupman.store import Store
from tests.engine._fleet import Fleet, fleet, shared_records

__all__ = ["fleet", "shared_records"]


def hosts(fleet: Fleet) -> list[tuple[str, bool]]:
    """Every worker on record, and whether it lives."""
    return [(known.worker.host, known.lives) for known in fleet.store.workers.all(fleet.instance)]


def age_claims(store: Store, instance: str) -> None:
    """Let more time pass than any claim lasts."""
    with store._engine.begin() as connection:
        aged = text("UPDATE backupman_claims SET until = until - interval '1 day' WHERE instance = :instance")
        connection.execute(aged, {"instance": instance})


def test_a_worker_lives_as_long_as_its_claim_is_put_off(fleet: Fleet) -> None:
    fleet.worker("db-8")
    fleet.lose(fleet.worker("db-7"))
    assert hosts(fleet) == [("db-7", False), ("db-8", True)]
    assert len(fleet.store.workers.living(fleet.instance)) == 1
    age_claims(fleet.store, fleet.instance)
    assert hosts(fleet) == [("db-7", False), ("db-8", False)]


def test_a_process_that_starts_anew_takes_the_place_of_the_one_before(fleet: Fleet) -> None:
    before = fleet.worker("db-7", "db7", lives=False, stopped_at=now())
    again = fleet.worker("db-7", "db8")
    [known] = fleet.store.workers.all(fleet.instance)
    assert (known.lives, known.worker.queues, known.worker.stopped_at) == (True, ["db8"], None)
    assert before.holder != again.holder


def test_what_it_has_under_way_is_its_own_and_has_not_ended(fleet: Fleet) -> None:
    one, other = fleet.worker("db-7"), fleet.worker("db-8")
    fleet.work("any", "first", by=one)
    fleet.work("any", "second", by=one, kind=AssignmentKind.VERIFY)
    ended = fleet.work("any", "third", by=other)
    fleet.store.assignments.end(ended.id, now(), holder=other.holder)
    fleet.work("any", "fourth")
    doing = {each.worker.host: [one.source for one in each.doing] for each in fleet.store.workers.all(fleet.instance)}
    assert doing == {"db-7": ["first", "second"], "db-8": []}


def test_what_waits_is_counted_by_queue_with_its_oldest(fleet: Fleet) -> None:
    at = now() - timedelta(hours=1)
    for minutes in (5, 0, 3):
        fleet.work("db7", at=at + timedelta(minutes=minutes))
    fleet.work("any", at=at, by=fleet.worker("db-7"))
    Fleet(fleet.address, fleet.store, new_id()).work("db8")
    assert fleet.store.assignments.waiting(fleet.instance) == {"db7": (3, at)}


def test_it_says_that_it_lives_and_that_it_goes_and_is_forgotten(fleet: Fleet) -> None:
    old = now() - timedelta(days=8)
    worker, gone = fleet.worker("db-7", heard_at=old), fleet.worker("db-8", heard_at=old, lives=False)
    fleet.store.workers.beat(worker.home)
    fleet.store.workers.go(gone.home, old)
    known = {each.worker.host: each.worker for each in fleet.store.workers.all(fleet.instance)}
    assert known["db-7"].heard_at > old
    assert (known["db-8"].heard_at, known["db-8"].stopped_at) == (old, old)
    fleet.store.workers.forget(fleet.instance, old + timedelta(days=1))
    assert hosts(fleet) == [("db-7", True)]


def test_a_worker_that_lives_is_not_forgotten_by_a_clock_that_is_ahead(fleet: Fleet) -> None:
    fleet.worker("db-7")
    fleet.lose(fleet.worker("db-8"))
    fleet.store.workers.forget(fleet.instance, now() + timedelta(days=365))
    assert hosts(fleet) == [("db-7", True)]
