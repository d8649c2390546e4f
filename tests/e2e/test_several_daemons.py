"""Several daemons of one installation on one PostgreSQL: one leads, the others stand by, and any of them may die."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from backupman.daemon import Daemon
from backupman.engine.runner import Order
from backupman.records import RunState, Status
from backupman.store import Store
from tests.e2e.scheduling import EVERY_SECOND, command
from tests.e2e.test_crashes import Service
from tests.e2e.world import World, wait_for
from tests.servers._process import free_port
from tests.servers.receiver import Receiver
from tests.store.conftest import server_address

HostAt = Callable[..., World]


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    """Where the records of all hosts are."""
    return server_address(request, "postgres")


@pytest.fixture
def host(tmp_path: Path, receiver: Receiver, address: str) -> HostAt:
    """Makes a host: a state folder of its own, and else the same config."""

    def make(name: str, source: dict[str, Any], cron: str = EVERY_SECOND, **database: Any) -> World:
        folder = tmp_path / name
        folder.mkdir()
        world = World(
            folder=folder,
            receiver=receiver,
            config={
                "instance": "test-host",
                "state_folder": str(folder / "state"),
                "database": {"url": address} | database,
                "data_sources": [source],
                "drives": [{"provider": "local", "label": "Disk", "folder": str(tmp_path / "drive")}],
                "jobs": [{"label": "often", "cron": cron, "misfire_grace": "1h"}],
                "notifiers": {"webhook": {"endpoints": [{"name": "Hook", "url": f"{receiver.url}/hook"}]}},
                "http": {"host": "127.0.0.1", "port": free_port()},
                "spool": {"min_free": "1MiB"},
            },
        )
        world.config_file.write_text(yaml.safe_dump(world.config))
        return world

    return make


@pytest.fixture
def records(address: str) -> Iterator[Store]:
    """What all of them write."""
    store = Store.open(address)
    yield store
    store.close()


def age_claims(store: Store, *, but_of: Daemon) -> None:
    """Let more time pass than the claims of all others last."""
    assert but_of.app.holding
    with store._engine.begin() as connection:
        aged = text("UPDATE backupman_claims SET until = until - interval '1 day' WHERE home <> :home")
        connection.execute(aged, {"home": but_of.app.holding.home})


def reports(receiver: Receiver) -> Counter[str]:
    """How often each backup was reported."""
    told = [json.loads(request.body) for request in receiver.requests]
    return Counter(message["Payload"]["Id"] for message in told if message["Event"] == "backup_report")


def test_every_due_run_happens_once_and_is_told_once_whoever_leads(
    host: HostAt, records: Store, receiver: Receiver
) -> None:
    quick = command("App", "echo dump")
    first, second = (Daemon(host(name, quick).config_file) for name in ("first", "second"))
    try:
        first.start()
        second.start()
        assert (first.leads, second.leads) == (True, False)
        assert first.lives()
        assert second.lives()
        wait_for(lambda: len(receiver.requests) > 2)
        for daemon in (first, second):
            daemon.reload()
            daemon.reload()
        assert (first.leads, second.leads) == (True, False)
        assert first.lives()
        first.stop(timedelta(minutes=1))
        wait_for(lambda: second.leads)
        before = len(receiver.requests)
        wait_for(lambda: len(receiver.requests) > before + 2)
        assert second.lives()
    finally:
        second.stop(timedelta(minutes=1))
    runs = records.jobs.runs("test-host", "often", 1000)
    backups = records.backups.list(limit=1000)
    assert len(backups) == sum(run.state == RunState.DONE for run in runs)
    assert {backup.status for backup in backups} == {Status.FINISHED}
    assert set(reports(receiver).values()) == {1}
    assert records.claims.all("test-host") == []


def test_one_that_stands_by_leaves_alone_what_lives_and_settles_what_is_dead(
    host: HostAt, records: Store, receiver: Receiver, tmp_path: Path
) -> None:
    script = f"touch {tmp_path}/begun; until test -e {tmp_path}/go; do sleep 0.05; done; echo dump"
    worlds = [host(name, command("Held", script), cron="0 0 1 1 *") for name in ("first", "second")]
    first, second = Service(worlds[0]), Daemon(worlds[1].config_file)
    try:
        wait_for(lambda: any(claim.name == "lead" for claim in records.claims.all("test-host")))
        second.start()
        assert not second.leads
        started = worlds[0].start("run")
        wait_for((tmp_path / "begun").exists)
        for _ in range(2):
            second.recover()
        (pending,) = records.backups.pending("test-host")
        result = second.run(second.app.plans[0], Order()).result()
        assert (result.busy, result.backups) == (["Held"], [])
        for process in (first.process, started):
            process.kill()
            process.communicate()
        age_claims(records, but_of=second)
        wait_for(lambda: second.leads)
        wait_for(lambda: records.backups.get(pending.id).status == Status.FAILED)
        assert "was killed" in (records.backups.get(pending.id).error or "")
        wait_for(lambda: reports(receiver)[pending.id])
        (tmp_path / "go").touch()
        again = second.run(second.app.plans[0], Order()).result()
        assert [backup.status for backup in again.backups] == [Status.FINISHED]
    finally:
        first.process.kill()
        first.process.communicate()
        second.stop(timedelta(minutes=1))
    assert reports(receiver)[pending.id] == 1


def test_one_that_is_frozen_is_succeeded_after_its_dump_has_ended(
    host: HostAt, records: Store, receiver: Receiver, tmp_path: Path
) -> None:
    script = f"echo $$ >> {tmp_path}/begun; until test -e {tmp_path}/go; do sleep 0.05; done; echo dump"
    source, soon = command("Held", script), {"takeover_after": "16s"}
    first = Service(host("first", source, **soon))
    begun = tmp_path / "begun"
    try:
        wait_for(begun.exists)
        first.process.send_signal(signal.SIGSTOP)
        tool = int(begun.read_text().split()[0])
        second = Daemon(host("second", source, cron="0 0 1 1 *", **soon).config_file)
        second.start()
        assert not second.leads
        try:
            wait_for(lambda: not Path(f"/proc/{tool}").exists())
            wait_for(lambda: second.leads)
            wait_for(lambda: not records.backups.pending("test-host"))
            first.process.send_signal(signal.SIGCONT)
            assert first.wait() == 1
            (backup,) = records.backups.list()
            assert backup.status == Status.FAILED
            wait_for(lambda: reports(receiver)[backup.id])
        finally:
            second.stop(timedelta(minutes=1))
    finally:
        first.process.kill()
        first.process.communicate()
    assert reports(receiver) == {backup.id: 1}
