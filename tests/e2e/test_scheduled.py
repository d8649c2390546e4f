"""Jobs and deadlines through the real daemon: run by the second, skipped, waited for, caught up, missed, late."""

import signal
from datetime import UTC, datetime, timedelta

from sqlmodel import Session, select

from backupman.records import Schedule
from backupman.store import Store
from tests.e2e.scheduling import EVERY_SECOND, alarms, command, held, never_twice_at_once, noted, notes, runs, serving
from tests.e2e.world import World, wait_for


def test_a_job_is_run_every_second(scheduled: World, store: Store) -> None:
    with serving(scheduled):
        wait_for(lambda: len([run for run in runs(store) if run.state == "done"]) >= 3)
    due = [run.due_at for run in runs(store)]
    assert len(due) == len(set(due))
    assert all(time.microsecond == 0 for time in due)
    backups = scheduled.backups()
    assert {(backup["Trigger"], backup["Job"], backup["Status"]) for backup in backups} == {
        ("schedule", "often", "finished")
    }
    assert len(backups) == len([run for run in runs(store) if run.state == "done"])
    assert alarms(scheduled) == []


def test_a_run_is_skipped_while_the_one_before_it_is_under_way(scheduled: World, store: Store) -> None:
    scheduled.config["data_sources"] = [held(scheduled.folder, "Slow"), noted(scheduled.folder, "Quick", 0)]
    with serving(scheduled):
        wait_for(lambda: notes(scheduled).count("end Quick") >= 2)
        wait_for(lambda: "still being backed up since before: Slow" in {run.reason for run in runs(store)})
        assert [note for note in notes(scheduled) if note.endswith("Slow")] == ["begin Slow"]
        (scheduled.folder / "go").touch()
        wait_for(lambda: notes(scheduled).count("end Slow") >= 2)
    assert never_twice_at_once(notes(scheduled), "Slow")


def test_a_whole_run_that_is_skipped_is_recorded(scheduled: World, store: Store) -> None:
    scheduled.config["data_sources"] = [held(scheduled.folder, "Slow")]
    with serving(scheduled):
        wait_for(lambda: "skipped" in {run.state for run in runs(store)})
        (scheduled.folder / "go").touch()
        wait_for(lambda: notes(scheduled).count("end Slow") >= 2)
    skipped = [run for run in runs(store) if run.state == "skipped"]
    assert {(run.reason, run.started_at) for run in skipped} == {("still being backed up since before: Slow", None)}
    assert len(scheduled.backups()) == len([run for run in runs(store) if run.state == "done"])


def test_a_run_by_hand_of_the_same_job_makes_the_next_one_skip(scheduled: World, store: Store) -> None:
    scheduled.config["data_sources"] = [held(scheduled.folder, "Slow")]
    by_hand = scheduled.start("run")
    wait_for(lambda: notes(scheduled) == ["begin Slow"])
    with serving(scheduled):
        wait_for(lambda: len(runs(store)) >= 2)
        assert {run.state for run in runs(store)} == {"skipped"}
        assert notes(scheduled) == ["begin Slow"]
        (scheduled.folder / "go").touch()
        wait_for(lambda: len(notes(scheduled)) >= 3)
    by_hand.communicate(timeout=120)
    assert by_hand.returncode == 0
    assert never_twice_at_once(notes(scheduled), "Slow")


def test_another_jobs_run_of_the_same_source_waits_its_turn(scheduled: World, store: Store) -> None:
    scheduled.config["data_sources"] = [held(scheduled.folder, "Shared")]
    scheduled.config["jobs"].append({"label": "too", "cron": EVERY_SECOND})
    with serving(scheduled):
        wait_for(lambda: runs(store, "often") and runs(store, "too") and notes(scheduled))
        (scheduled.folder / "go").touch()
        wait_for(lambda: all("done" in {run.state for run in runs(store, job)} for job in ("often", "too")))
    assert {backup["Status"] for backup in scheduled.backups()} == {"finished"}
    assert never_twice_at_once(notes(scheduled), "Shared")


def test_no_more_backups_are_under_way_than_allowed(scheduled: World) -> None:
    sources = [noted(scheduled.folder, label, 0.5) for label in ("A", "B", "C")]
    scheduled.config |= {"data_sources": sources, "max_parallel": 1}
    with serving(scheduled):
        wait_for(lambda: {"end A", "end B", "end C"} <= set(notes(scheduled)))
    kinds = [line.split()[0] for line in notes(scheduled)]
    assert kinds[: len(kinds) // 2 * 2] == ["begin", "end"] * (len(kinds) // 2)


def far_from_now() -> dict[str, str]:
    """A daily schedule that is not due while a test runs."""
    return {"cron": f"0 {(datetime.now(UTC).hour + 12) % 24} * * *", "timezone": "UTC"}


def seen_before(store: Store, **ago: float) -> None:
    """Let the daemon, which is stopped, have seen its schedule so long ago."""
    with Session(store._engine) as session, session.begin():
        for schedule in session.exec(select(Schedule)):
            schedule.since = datetime.now(UTC) - timedelta(**ago)


def test_what_was_missed_while_nobody_was_there_is_caught_up_exactly_once(scheduled: World, store: Store) -> None:
    scheduled.config["jobs"][0] |= far_from_now() | {"misfire_grace": "1d"}
    with serving(scheduled):
        assert runs(store) == []
    seen_before(store, days=1)
    for _ in range(2):
        with serving(scheduled):
            wait_for(lambda: [run.state for run in runs(store)] == ["done"])
    (backup,) = scheduled.backups()
    assert (backup["Status"], backup["Trigger"]) == ("finished", "schedule")
    assert alarms(scheduled) == []


def test_what_is_too_old_is_missed_and_reported_once(scheduled: World, store: Store) -> None:
    scheduled.config["jobs"][0] |= far_from_now() | {"misfire_grace": "1s"}
    with serving(scheduled):
        assert runs(store) == []
    seen_before(store, days=3)
    for _ in range(2):
        with serving(scheduled):
            wait_for(lambda: alarms(scheduled))
    assert [run.state for run in runs(store)] == ["missed"]
    assert scheduled.backups() == []
    ((kind, payload),) = alarms(scheduled)
    assert (kind, payload["Job"], payload["Source"]) == ("backup_missed", "often", "App")
    assert "and 2 before it since" in payload["Reason"]


def test_a_late_backup_is_told_once_and_so_is_its_recovery(scheduled: World) -> None:
    good = scheduled.folder / "good"
    scheduled.config["data_sources"] = [command("App", f"test -e {good} && echo dump")]
    scheduled.config["deadlines"] = {"grace": "1s"}
    with serving(scheduled) as daemon:
        wait_for(lambda: alarms(scheduled))
        daemon.send_signal(signal.SIGHUP)  # what is open stays open
        good.touch()
        wait_for(lambda: len(alarms(scheduled)) == 2)
    assert [kind for kind, _ in alarms(scheduled)] == ["backup_late", "backup_recovered"]
    assert alarms(scheduled)[0][1]["Reason"].startswith("App has never had a good backup")


def test_a_dump_that_hangs_is_ended_and_told_to_be_stuck(scheduled: World, store: Store) -> None:
    scheduled.config["data_sources"] = [command("Hangs", "echo dump; sleep 600", timeout="1s")]
    scheduled.config["jobs"][0] = {"label": "often", "cron": "*/3 * * * * *"}
    with serving(scheduled) as daemon:
        wait_for(lambda: alarms(scheduled))
        wait_for(lambda: len(runs(store)) >= 3)
        wait_for(lambda: not any("sleep 600" in line for line in scheduled.children()))
        assert daemon.poll() is None
    ((kind, payload),) = alarms(scheduled)
    assert (kind, payload["Source"]) == ("backup_stuck", "Hangs")
    assert payload["Reason"] == "Hangs: the dump took longer than its timeout of 1s and was ended"
    assert {backup["Status"] for backup in scheduled.backups()} == {"failed"}
    wait_for(lambda: not scheduled.children())
