"""The daemon itself, in the test's own process: what it keeps of earlier configs, and of old records."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from backupman.daemon import Daemon
from backupman.engine.alarm_drills import LANE
from backupman.engine.reaching import reached
from backupman.engine.runner import Order
from backupman.errors import StoreError
from backupman.records import Status, now
from backupman.store.backups import BackupFilter
from backupman.store.ingest import Recipient, Reported
from tests.e2e.world import wait_for
from tests.servers.receiver import Receiver
from tests.store.conftest import a_backup


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A config whose one dump takes until the file `go` is there."""
    file, script = tmp_path / "config.yml", f"until test -e {tmp_path}/go; do sleep 0.05; done; echo dump"
    config = {
        "instance": "test-host",
        "state_folder": str(tmp_path / "state"),
        "data_sources": [{"provider": "command", "label": "Held", "argv": ["sh", "-c", script]}],
        "drives": [{"provider": "local", "label": "Disk", "folder": str(tmp_path / "drive")}],
        "spool": {"min_free": "1MiB"},
    }
    file.write_text(yaml.safe_dump(config))
    return file


def test_an_earlier_config_is_kept_as_long_as_its_backups_go_on(config_file: Path) -> None:
    daemon = Daemon(config_file)
    try:
        before = daemon.app
        call = daemon.run(daemon.app.plans[0], Order(trigger="schedule"))
        (backup_id,) = call.ids(20)
        daemon.reload()
        daemon.reload()
        assert [app is before for app in daemon._old] == [True]
        assert not daemon.app.executor.busy
        (config_file.parent / "go").touch()
        wait_for(call.ended)
        daemon.reload()
        assert daemon._old == []
        assert daemon.app.store.backups.get(backup_id).status == "finished"
    finally:
        daemon.stop(daemon.app.config.shutdown_grace)


def test_what_an_earlier_config_began_can_be_cancelled(config_file: Path) -> None:
    daemon = Daemon(config_file)
    try:
        call = daemon.run(daemon.app.plans[0], Order(trigger="schedule"))
        (backup_id,) = call.ids(20)
        daemon.reload()
        wait_for(lambda: daemon.cancel(backup_id, "cancelled by a test"))
        wait_for(call.ended)
        assert daemon.app.store.backups.get(backup_id).status == "failed"
        assert not daemon.cancel(backup_id, "again")
    finally:
        daemon.stop(daemon.app.config.shutdown_grace)


def test_a_wrong_config_changes_nothing(config_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    daemon = Daemon(config_file)
    try:
        before, text = daemon.app, config_file.read_text()
        for wrong in ("jobs: [", text + "drivs: []", text.replace("test-host", "another-host")):
            config_file.write_text(wrong)
            daemon.reload()
            assert daemon.app is before
            assert "the old one stays" in caplog.records[-1].message
    finally:
        daemon.stop(daemon.app.config.shutdown_grace)


def test_a_reload_that_fails_half_way_leaves_all_of_the_old_config(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(config_file)
    try:
        daemon.start()
        before, watched = daemon.app, []
        monkeypatch.setattr(daemon.deadlines, "watch", lambda config, plans: watched.append(config))

        def away(plans: object) -> None:
            raise StoreError("the records are away")

        monkeypatch.setattr(daemon.scheduler, "reschedule", away)
        daemon.reload()
        assert daemon.app is before
        assert watched[0] is not before.config and watched[-1] is before.config
    finally:
        daemon.stop(daemon.app.config.shutdown_grace)


def test_what_is_taken_at_the_next_start_is_said(config_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    daemon = Daemon(config_file)
    try:
        daemon.reload()
        assert not [record for record in caplog.records if record.levelname == "WARNING"]
        with config_file.open("a") as config:
            config.write("http: {port: 9000, trusted_proxies: [10.0.0.0/8], api_keys: [secret]}")
        daemon.reload()
        (warned,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert warned.startswith("http.host, http.port, http.trusted_proxies: taken at the next start")
    finally:
        daemon.stop(daemon.app.config.shutdown_grace)


def test_what_waits_for_the_next_start_is_said_until_it_is_as_it_was(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, daemon = config_file.read_text(), Daemon(config_file)
    warned = []
    try:
        for more in ("http: {port: 9000}", "http: {port: 9000}", ""):
            caplog.clear()
            config_file.write_text(f"{first}\n{more}\n")
            daemon.reload()
            warned.append([record.message.split(":")[0] for record in caplog.records if record.levelname == "WARNING"])
    finally:
        daemon.stop(daemon.app.config.shutdown_grace)
    assert warned == [["http.port"], ["http.port"], []]


def test_old_records_go_at_the_start(config_file: Path) -> None:
    with config_file.open("a") as config:
        config.write("history: {keep: 30d}\n")
    daemon = Daemon(config_file)
    try:
        store = daemon.app.store
        for days in (31, 29):
            told = Reported("nas", "rsync", now() - timedelta(days=days), "ok", f"{days} days ago")
            store.ingest.backup(told, Recipient("test-host"))
        daemon.start()
        wait_for(lambda: len(store.backups.list(BackupFilter(kind="ingested"))) == 1)
        assert [kept.message for kept in store.backups.list(BackupFilter(kind="ingested"))] == ["29 days ago"]
    finally:
        daemon.stop(daemon.app.config.shutdown_grace)


def test_a_dump_that_was_kept_long_enough_goes_while_the_daemon_runs(config_file: Path) -> None:
    config = yaml.safe_load(config_file.read_text())
    config["spool"]["keep"] = "1d"
    config_file.write_text(yaml.safe_dump(config))
    daemon = Daemon(config_file)
    try:
        daemon.start()
        spool = daemon.app.spools.folder / "dump"
        spool.parent.mkdir(parents=True, exist_ok=True)
        spool.touch()
        kept = a_backup(instance=daemon.app.config.instance, created_at=now() - timedelta(days=2))
        kept.status = kept.dump_status = Status.FAILED
        kept.spool_path = kept.dump_path = str(spool)
        daemon.app.store.backups.begin(kept, [])

        def gone() -> bool:
            daemon.scheduler.soon("spool")  # it is looked now, and not only every ten minutes
            return not spool.exists()

        wait_for(gone)
    finally:
        daemon.stop(timedelta(0))


def test_an_alarm_drill_is_held_when_it_is_due(config_file: Path, receiver: Receiver) -> None:
    config = yaml.safe_load(config_file.read_text())
    config["notifiers"] = {"webhook": {"endpoints": [{"name": "Ops", "url": f"{receiver.url}/hook"}]}}
    config["alarm_drill"] = {"cron": "* * * * * *"}
    config_file.write_text(yaml.safe_dump(config))
    daemon = Daemon(config_file)
    try:
        daemon.start()

        def arrived() -> bool:
            daemon.scheduler.soon(LANE)  # it is looked whether one is due now, and not only every 20 s
            return bool(receiver.requests)

        wait_for(arrived)
        assert json.loads(receiver.requests[0].body)["Event"] == "alarm_drill"
        wait_for(
            lambda: [each.result.outcome for each in reached(daemon.app.config, daemon.app.store, now())] == ["proven"]
        )
    finally:
        daemon.stop(timedelta(0))
