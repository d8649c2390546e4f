"""How things stand with what a job promises, on every database."""

from datetime import timedelta
from typing import Any

from backupman.events import EventKind
from backupman.records import (
    Backup,
    Kind,
    Status,
)
from backupman.store import Announcement, Store
from backupman.store.standing import Of
from tests.store.conftest import START, a_backup, finish

US, THEM = "host1", "host2"
DAY = timedelta(days=1)
OURS = Of(US, "nightly", "shop")


def backup(store: Store, minutes: float = 0, outcome: Status | None = Status.FINISHED, **fields: Any) -> Backup:
    """A backup that was begun so long after START and settled at once, or is pending."""
    begun = START + timedelta(minutes=minutes)
    made = store.backups.begin(a_backup(created_at=begun, **fields), [])
    if outcome:
        report = Announcement(EventKind.BACKUP_REPORT, [])
        change = finish if outcome == Status.FINISHED else _fail
        made = store.backups.settle(made.id, change, lambda _: [report])
    return made


def _fail(backup: Backup) -> None:
    backup.dump_status = Status.FAILED
    for file in backup.drive_files:
        file.status = Status.FAILED


def test_the_databases_are_those_of_the_newest_run(store: Store) -> None:
    later = START + 100 * DAY
    assert store.standing.databases(OURS, later) == []
    backup(store, 0, database="gone")
    backup(store, 1000, Status.FAILED, database="b")
    backup(store, 1000.1, None, database="a")
    backup(store, 2000, Status.FAILED, database="")
    backup(store, 3000, database="a", trigger="retry")
    backup(store, 4000, database="x", source="other")
    backup(store, 4000, database="y", job="other")
    backup(store, 4000, database="z", instance=THEM)
    assert store.standing.databases(OURS, later) == ["a", "b"]
    assert store.standing.databases(OURS, START) == ["gone"]


def test_the_newest_good_backups_and_the_newest_settled_one_are_found(store: Store) -> None:
    later = START + 100 * DAY
    assert (store.standing.good(OURS, "shop", later, 5), store.standing.newest(OURS, "shop", later)) == ([], None)
    for minutes in range(4):
        made = backup(store, minutes)
        store.backups.change(made.id, size=minutes)
    backup(store, 10, Status.FAILED)
    backup(store, 20, None)
    backup(store, 30, database="blog")
    assert [good.size for good in store.standing.good(OURS, "shop", later, 3)] == [3, 2, 1]
    assert [good.label for good in store.standing.good(OURS, None, later, 1)] == ["shop"]
    assert [good.size for good in store.standing.good(OURS, "shop", START, 3)] == [0]
    newest = store.standing.newest(OURS, "shop", later)
    assert newest and (newest.status, newest.timed_out, newest.created_at) == (
        "failed",
        False,
        START + timedelta(minutes=10),
    )
    assert store.standing.first_begun(OURS, "shop") == START
    assert store.standing.first_begun(OURS, "nothing") is None


def test_what_is_under_way_and_what_was_begun_is_known(store: Store) -> None:
    assert not store.standing.under_way(OURS)
    backup(store, 0)
    assert not store.standing.under_way(OURS)
    backup(store, 5, None)
    assert store.standing.under_way(OURS)
    assert not store.standing.under_way(Of(THEM, "nightly", "shop"))
    backup(store, 5.1, database="another, which is settled already")
    assert store.standing.under_way(OURS), "of several databases each counts"
    assert store.standing.begun(OURS, START + timedelta(minutes=5))
    assert not store.standing.begun(OURS, START + timedelta(minutes=6))
    backup(store, 1000)
    assert not store.standing.under_way(OURS), "what an earlier run left is none of this one"


def test_what_was_settled_is_told_by_its_reports(store: Store) -> None:
    assert store.standing.last_event() == 0
    backup(store, 0)
    before = store.standing.last_event()
    backup(store, 1, None)
    backup(store, 2, Status.FAILED, job="hourly")
    backup(store, 3, instance=THEM)
    backup(store, 4, kind=Kind.INGESTED, job="rsync", source="web-1", sender="me", device="web-1")
    settled = store.standing.settled_after(before, US)
    assert [of for _, of in settled] == [Of(US, "hourly", "shop"), Of(US, "rsync", "web-1", "me")]
    assert store.standing.settled_after(settled[-1][0], US) == []
    ingested = settled[-1][1]
    assert len(store.standing.good(ingested, None, START + DAY, 5)) == 1
    assert store.standing.good(Of(US, "rsync", "web-1", "you"), None, START + DAY, 5) == []
