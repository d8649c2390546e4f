"""Deadlines of jobs of other machines: late when nothing good is reported, also after restarts."""

from collections.abc import Callable
from typing import Any

from backupman.records import Kind
from tests.engine._virtual import World, last

Make = Callable[..., World]


INGESTED = {"ingest": {"jobs": [{"device": "web-1", "job": "Nightly rsync", "sender": "rsync", "max_age": "26h"}]}}


def reported(world: World, *, failed: bool = False, **fields: Any) -> None:
    """What a script on another machine tells of its backup."""
    known: dict[str, Any] = {"kind": Kind.INGESTED, "sender": "rsync", "device": "web-1", "database": "Nightly rsync"}
    known |= {"job": "Nightly rsync", "source": "web-1", "drive_files": []} | fields
    backup = world.record(**known)
    world.settle(backup, failed=True)
    if not failed:
        world.store.backups.change(backup.id, status="finished")


def test_an_ingested_job_is_late_and_recovers_like_one_of_ours(world: Make) -> None:
    there = world("2026-03-02 12:00", more=INGESTED)
    there.start()
    there.live("2026-03-03 13:59")
    assert there.told() == []
    there.live("2026-03-03 14:00")
    assert there.told() == ["backup_late"]
    payload = last(there)
    assert (payload["Label"], payload["Job"], payload["Source"], payload["Sender"], payload["Database"]) == (
        "Nightly rsync on web-1",
        "Nightly rsync",
        "web-1",
        "rsync",
        None,
    )
    assert payload["Reason"].startswith("Nightly rsync on web-1 has never had a good backup")
    reported(there, failed=True)
    reported(there, sender="somebody else")
    reported(there, source="web-2", device="web-2")
    there.live("2026-03-03 15:00")
    assert there.told() == ["backup_late"]
    reported(there)
    there.live("2026-03-04 16:59")
    assert there.told() == ["backup_late", "backup_recovered"]
    there.live("2026-03-04 17:00")
    assert there.told()[2:] == ["backup_late"]
    assert {d.endpoint for d in there.store.outbox.deliveries()} == {"mail/ops@example.com"}


def test_a_restart_does_not_begin_the_time_of_a_silent_script_anew(world: Make) -> None:
    there = world("2026-03-02 12:00", more=INGESTED)
    there.start()
    for day in ("02", "03"):
        for hour in (13, 23):
            there.clock.set(f"2026-03-{day} {hour}:59")
            there.begin()
            there.start()
            there.deadlines.check()
    assert there.told() == ["backup_late"]
