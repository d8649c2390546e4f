"""What is verified by the clock: once for each due time, caught up once, and begun anew when it was interrupted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from backupman.engine.locks import source_lock
from backupman.engine.proofs import ProofsHere
from backupman.engine.spools import Spools
from backupman.engine.verify_schedule import VerifySchedule, run_name
from backupman.engine.verifying import Verifier
from backupman.errors import BusyError, Interrupted
from backupman.records import Backup, RunState, Status
from tests.e2e.world import wait_for
from tests.engine._virtual import INSTANCE, World

WEEKLY = {"cron": "0 6 * * 0"}  # 2026-03-01 is a Sunday
Make = Callable[..., World]


def stored(world: World) -> Backup:
    """A finished backup whose one copy is there."""
    backup = world.settle(world.record("nightly", "App", "app"))
    file = Path(world.config.drives[0].folder, backup.id)  # type: ignore[attr-defined]  # a local drive
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"a dump")
    world.store.backups.change_drive_file(
        backup.id,
        "Disk",
        ref=backup.id,
        path=str(file),
        sha256=sha256(b"a dump").hexdigest(),
        size=6,
        status=Status.FINISHED,
    )
    return world.store.backups.get(backup.id)


@contextmanager
def verifying(world: World) -> Iterator[VerifySchedule]:
    """What the daemon has, which a test wakes by hand."""
    schedule = VerifySchedule(world.store, INSTANCE, ProofsHere(world.store, world.clock), world.clock)
    schedule.watch(world.plans, Verifier(world.config, world.plans, world.store, Spools(world.config, world.store)))
    try:
        yield schedule
    finally:
        schedule.stop("the test is over")


def states(world: World) -> list[tuple[str, str]]:
    """The runs that verify, the newest first."""
    return [(f"{run.due_at:%m-%d %H:%M}", run.state) for run in world.store.jobs.runs(INSTANCE, run_name("nightly"))]


def ended(world: World) -> bool:
    return RunState.RUNNING not in [state for _, state in states(world)]


def checks(world: World, backup: Backup) -> int:
    return len(world.store.proofs.verifications(backup.id))


def test_a_due_time_is_verified_once_and_caught_up_once(world: Make) -> None:
    there = world("2026-02-28 12:00", verify=WEEKLY)
    backup = stored(there)
    with verifying(there) as schedule:
        schedule.check()
        assert states(there) == [("02-28 12:00", "skipped")], "what is seen for the first time has no past"
        there.clock.set("2026-03-01 06:00")
        schedule.check()
        schedule.check()
        wait_for(lambda: ended(there), 60)
        assert states(there)[0] == ("03-01 06:00", "done")
        assert checks(there, backup) == 1
    there.clock.set("2026-03-15 09:00")
    with verifying(there) as schedule:
        schedule.check()
        wait_for(lambda: ended(there), 60)
        schedule.check()
    assert states(there)[:2] == [("03-15 06:00", "done"), ("03-01 06:00", "done")]
    assert checks(there, backup) == 2
    there.clock.set("2026-03-24 09:00")
    with verifying(there) as schedule:
        schedule.check()
    assert states(there)[0] == ("03-22 06:00", "skipped"), "two days late is too late"


@pytest.mark.parametrize("grace", ["0s", "5s"])
def test_a_look_that_comes_a_little_later_misses_nothing(world: Make, grace: str) -> None:
    there = world("2026-02-28 12:00", verify=WEEKLY, misfire_grace=grace)
    stored(there)
    with verifying(there) as schedule:
        schedule.check()
        there.clock.set("2026-03-01 06:00:19")
        schedule.check()
        wait_for(lambda: ended(there), 60)
        there.clock.set("2026-03-08 06:02")
        schedule.check()
    assert states(there)[:2] == [("03-08 06:00", "skipped"), ("03-01 06:00", "done")]


def test_what_a_crash_interrupted_is_begun_anew(world: Make) -> None:
    there = world("2026-03-01 05:00", verify=WEEKLY)
    backup = stored(there)
    there.store.jobs.skip(INSTANCE, run_name("nightly"), there.clock(), "seen")
    there.clock.set("2026-03-01 06:00")
    assert there.store.jobs.open_run(INSTANCE, run_name("nightly"), there.clock(), there.clock())
    there.start()
    with verifying(there) as schedule:
        schedule.check()
        wait_for(lambda: states(there)[0][1] == "done", 60)
    assert checks(there, backup) == 1


def test_what_met_a_fault_is_not_done_and_rests_before_it_is_begun_anew(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = world("2026-03-01 05:00", verify=WEEKLY)
    backup = stored(there)
    with verifying(there) as schedule:
        schedule.check()
        there.clock.set("2026-03-01 06:00")
        with monkeypatch.context() as faulty:
            faulty.setattr(Verifier, "verify", lambda *_: 1 / 0)
            schedule.check()
            wait_for(lambda: ended(there), 60)
        (run, *_) = there.store.jobs.runs(INSTANCE, run_name("nightly"))
        assert (run.state, run.reason) == ("interrupted", "unexpected ZeroDivisionError")
        there.clock.set("2026-03-01 06:09")
        schedule.check()
        assert states(there)[0] == ("03-01 06:00", "interrupted")
        there.clock.set("2026-03-01 06:10")
        schedule.check()
        wait_for(lambda: states(there)[0][1] == "done", 60)
    assert checks(there, backup) == 1


def test_what_is_stopped_is_interrupted_and_not_bad(world: Make) -> None:
    there = world("2026-03-01 05:00", verify=WEEKLY | {"level": "structure"})
    backup = stored(there)
    with (
        source_lock(there.config.state_folder, "drill-app", wait=False),
        verifying(there) as schedule,
    ):
        schedule.check()
        there.clock.set("2026-03-01 06:00")
        schedule.check()
        assert states(there)[0] == ("03-01 06:00", "running")
    assert states(there)[0] == ("03-01 06:00", "interrupted")
    assert checks(there, backup) == 0


@pytest.mark.parametrize(("content", "told"), [(b"b dump", ["verify_failure"]), (b"a dump", [])])
def test_what_is_interrupted_tells_of_what_was_bad_until_then(world: Make, content: bytes, told: list[str]) -> None:
    there = world("2026-03-01 05:00")
    first, second = stored(there), stored(there)
    Path(first.drive_files[0].path or "").write_bytes(content)
    verifier = Verifier(there.config, there.plans, there.store, Spools(there.config, there.store))

    def chosen() -> Iterator[Backup]:
        yield first
        verifier.stop("backupman was stopped")
        yield second

    with pytest.raises(Interrupted):
        list(verifier.verify(chosen()))
    events = [event for event in there.store.outbox.events(limit=None) if event.kind.startswith("verify")]
    assert [event.kind for event in events] == told
    assert [event.payload["Bad"] for event in events] == [1] * len(told)


def test_what_is_asked_for_is_verified_and_not_twice_at_once(world: Make) -> None:
    there = world("2026-03-01 05:00")
    backup = stored(there)
    with source_lock(there.config.state_folder, "drill-app", wait=False), verifying(there) as schedule:
        schedule.ask(backup, "structure", None)
        with pytest.raises(BusyError, match="waits to be verified already"):
            schedule.ask(backup, "checksum", None)
    with verifying(there) as schedule:
        schedule.ask(backup, "checksum", ["Disk"])
        wait_for(lambda: checks(there, backup) == 1, 60)


def test_a_bad_copy_is_told_of_as_its_job_says(world: Make) -> None:
    there = world("2026-03-01 05:00", verify=WEEKLY)
    there.settings["notifiers"]["mail"][0]["events"] = ["verify_failure"]
    there.begin()
    backup = stored(there)
    Path(backup.drive_files[0].path or "").write_bytes(b"a dumb")
    with verifying(there) as schedule:
        schedule.ask(backup, "checksum", None)
        wait_for(lambda: checks(there, backup) == 1, 60)
    (event,) = [event for event in there.store.outbox.events(limit=None) if event.kind == "verify_failure"]
    assert "other content than was stored" in event.payload["Reason"]
    assert there.store.backups.get(backup.id).drive_files[0].status == Status.FINISHED
