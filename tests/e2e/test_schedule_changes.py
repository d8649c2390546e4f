"""Jobs of a daemon that is asked, reloaded and stopped while it runs them."""

import signal
from pathlib import Path

import yaml

from backupman.records import Backup, DriveFile
from backupman.store import Store
from tests.e2e.scheduling import EVERY_SECOND, command, held, never_twice_at_once, notes, runs, serving
from tests.e2e.test_service import api, jobs
from tests.e2e.world import World, wait_for


def test_the_api_does_not_wait_for_a_scheduled_run(scheduled: World, store: Store) -> None:
    scheduled.config["data_sources"] = [held(scheduled.folder, "Held")]
    with serving(scheduled):
        wait_for(lambda: notes(scheduled) == ["begin Held"])
        with api(scheduled) as client:
            refused = client.post("/api/backups")
            assert refused.status_code == 409
            assert refused.json() == {"Error": "already running: Held; wait for it to end"}
            assert client.post("/api/backups", json={"Job": "often"}).status_code == 409
        (scheduled.folder / "go").touch()
        wait_for(lambda: "done" in {run.state for run in runs(store)})
    assert {backup["Trigger"] for backup in scheduled.backups()} == {"schedule"}
    assert never_twice_at_once(notes(scheduled), "Held")


def test_a_new_config_is_a_new_schedule_and_what_is_done_by_the_clock_goes_on(scheduled: World, store: Store) -> None:
    scheduled.config["jobs"] = [{"label": "daily", "cron": "@daily"}]
    with serving(scheduled) as daemon:
        for label in ("often", "too"):
            scheduled.config["jobs"].append({"label": label, "cron": EVERY_SECOND})
            scheduled.config_file.write_text(yaml.safe_dump(scheduled.config))
            daemon.send_signal(signal.SIGHUP)
            wait_for(lambda label=label: len([run for run in runs(store, label) if run.state == "done"]) >= 2)
        # The next look at what a dead process left is not lost with the jobs of before.
        dead = store.backups.begin(died(scheduled.folder), [])
        wait_for(lambda: store.backups.get(dead.id).status == "failed", 90)
        scheduled.config["jobs"] = scheduled.config["jobs"][:1]
        scheduled.config_file.write_text(yaml.safe_dump(scheduled.config))
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: jobs(scheduled) == ["daily"])
    assert runs(store, "daily") == []
    assert "killed" in (store.backups.get(dead.id).error or "")


def died(folder: Path) -> Backup:
    """The record of a backup whose process is gone."""
    backup = Backup(
        label="Gone",
        job="daily",
        source="Gone",
        source_provider="sqlite",
        database="gone",
        instance="test-host",
        object_name="gone",
        spool_path=str(folder / "state/spool/gone"),
    )
    backup.drive_files = [DriveFile(backup_id=backup.id, provider="local", label="Disk")]
    return backup


def test_a_daemon_that_stops_takes_no_more_work_and_lets_what_is_running_end(scheduled: World, store: Store) -> None:
    scheduled.config["data_sources"] = [held(scheduled.folder, "Held"), command("Free", "echo dump")]
    scheduled.config["jobs"] = [
        {"label": label, "cron": EVERY_SECOND, "data_sources": ["Held"]} for label in ("often", "too")
    ]
    scheduled.config["jobs"].append({"label": "by hand"})
    scheduled.config["shutdown_grace"] = "1h"
    with serving(scheduled) as daemon:
        wait_for(
            lambda: {"running", "skipped"} <= {run.state for label in ("often", "too") for run in runs(store, label)}
        )
        wait_for(lambda: runs(store, "often") and runs(store, "too") and notes(scheduled))
        daemon.send_signal(signal.SIGTERM)
        with api(scheduled) as client:
            wait_for(lambda: client.post("/api/backups", json={"Source": "Free"}).status_code == 503)
            refused = client.post("/api/backups", json={"Source": "Free"}).json()
        (scheduled.folder / "go").touch()
        daemon.wait(60)
    assert refused == {"Error": "the daemon is about to end and starts nothing more"}
    by_schedule = [backup for backup in scheduled.backups() if backup["Trigger"] == "schedule"]
    assert [(backup["Status"], backup["Source"]) for backup in by_schedule] == [("finished", "Held")]
    assert notes(scheduled) == ["begin Held", "end Held"]
    waited = {"often", "too"} - {by_schedule[0]["Job"]}
    (run,) = [run for run in runs(store, waited.pop()) if run.started_at]
    assert (run.state, run.reason) == ("interrupted", "Held: backupman was stopped")
