"""A fleet as its control host sees it: progress, log, cancel, work that is put back, proofs and messages elsewhere."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from backupman.fleet.queue import Queue
from backupman.records import Status
from tests.e2e.fleet import INSTANCE, Fleet, fleet_in
from tests.e2e.test_service import api
from tests.e2e.world import wait_for
from tests.servers.receiver import Receiver
from tests.store.conftest import server_address

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def fleet(tmp_path: Path, receiver: Receiver, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet whose records are in a database of their own; nothing of it runs."""
    with fleet_in(tmp_path, receiver, server_address(request, "postgres"), HOOK=f"{receiver.url}/hook") as fleet:
        yield fleet


def live(fleet: Fleet, backup_id: str) -> dict[str, Any]:
    """What the control host knows of a backup that is under way."""
    return fleet.get(f"/api/backups/{backup_id}")["Live"] or {}


def test_what_workers_do_is_seen_and_cancelled_and_put_back(fleet: Fleet) -> None:
    fleet.control.config["data_sources"] = [fleet.held("Held", queue="db7")]
    fleet.serve()
    first = fleet.worker("first", "db7", shutdown_grace="1s")
    fleet.ask("Held")
    wait_for(lambda: fleet.dumps("Held"), 240)
    [backup] = fleet.backups()
    wait_for(lambda: live(fleet, backup.id).get("Phase") == "dumping", 240)
    wait_for(lambda: live(fleet, backup.id).get("Read", 0) >= 300_000, 240)
    assert live(fleet, backup.id)["Host"]
    with api(fleet.control) as client:
        wait_for(lambda: "Held" in client.get(f"/api/backups/{backup.id}/log").text, 240)
        answer = client.post(f"/api/backups/{backup.id}/cancel")
        assert answer.status_code == 200, answer.text
    wait_for(fleet.idle, 240)
    wait_for(fleet.reported, 240)
    [cancelled] = fleet.backups()
    assert cancelled.status == Status.FAILED
    assert "cancelled" in (cancelled.error or "")

    fleet.ask("Held")
    wait_for(lambda: len(fleet.dumps("Held")) == 2, 240)
    first.send_signal(signal.SIGTERM)
    assert first.wait(240) == 0
    [waiting] = fleet.assignments()
    assert (waiting.state, waiting.holder, waiting.error) == ("waiting", None, "the worker was stopped")
    with psycopg.connect(Queue(fleet.address, INSTANCE).conninfo) as connection:  # half a minute is over
        connection.execute("UPDATE procrastinate_jobs SET scheduled_at = now()")
    fleet.go()
    fleet.worker("second", "db7")
    wait_for(fleet.idle, 240)
    wait_for(fleet.reported, 240)
    _, stopped, finished = fleet.backups()
    assert (stopped.status, finished.status) == (Status.FAILED, Status.FINISHED)
    assert [stopped.home, finished.home] == [fleet.home("first"), fleet.home("second")]
    assert set(fleet.reports().values()) == {1}
    assert not fleet.litter()


def test_a_worker_ends_when_its_state_folder_is_moved_away(fleet: Fleet) -> None:
    """What it had under way is put back, and it can be started again with a state folder that is made anew."""
    fleet.control.config["data_sources"] = [fleet.held("Held", queue="db7")]
    fleet.serve()
    first = fleet.worker("first", "db7", shutdown_grace="1h")
    fleet.ask("Held")
    wait_for(lambda: fleet.dumps("Held"), 240)
    home, state = fleet.home("first"), fleet.folder / "first/state"
    state.rename(fleet.folder / "first/state.gone")
    assert first.wait(240) == 1
    said = [line for line in first.err.splitlines() if " CRITICAL " in line]
    assert len(said) == 1, said
    assert f"stopping: {state}/worker.lock was removed, moved or replaced while the worker ran" in said[0]
    assert "Traceback" not in first.err
    [waiting] = fleet.assignments()
    assert (waiting.state, waiting.holder) == ("waiting", None)
    fleet.go()
    fleet.worker("first", "db7")
    wait_for(fleet.idle, 240)
    assert [backup.status for backup in fleet.backups()] == [Status.FAILED, Status.FINISHED]
    assert fleet.home("first") != home


def test_a_worker_that_cannot_use_the_queues_says_why_it_ends(fleet: Fleet) -> None:
    worker = fleet.worker("first", "db7")
    with fleet.store._engine.begin() as connection:
        connection.execute(text("DROP SCHEMA backupman_queue CASCADE"))
    assert worker.wait(240) == 1
    assert "the worker takes nothing more, as the queues in PostgreSQL cannot be used: " in worker.err
    assert "Traceback" not in worker.err


def test_proofs_and_messages_are_the_work_of_workers_too(fleet: Fleet) -> None:
    config = fleet.control.config
    config["data_sources"] = [fleet.sqlite("App")]
    config["notifiers"] = {"webhook": {"queue": "hooks", "endpoints": [{"name": "Hook", "url": "${HOOK}"}]}}
    config["verify"] = {"queue": "prove"}
    fleet.serve()
    worker = fleet.worker("worker", "hooks", "prove", take_any=True)
    fleet.ask("App")
    wait_for(fleet.reported, 240)
    [backup] = fleet.backups()
    assert set(fleet.reports().values()) == {1}
    with api(fleet.control) as client:
        answer = client.post(f"/api/backups/{backup.id}/verify", json={"Level": "restore"})
        assert answer.status_code == 202, answer.text
    verifications = f"/api/backups/{backup.id}/verifications"
    wait_for(lambda: fleet.get(verifications)["Results"], 240)
    assert {each["Level"] for each in fleet.get(verifications)["Results"]} == {"restore"}
    assert {each["Error"] for each in fleet.get(verifications)["Results"]} == {None}
    with api(fleet.control) as client:
        answer = client.post(f"/api/backups/{backup.id}/restore", json={"ToDatabase": "back"})
        assert answer.status_code == 202, answer.text
    restore = f"/api/restores/{answer.json()['Id']}"
    wait_for(lambda: fleet.get(restore).get("Status") in ("finished", "failed"), 240)
    assert fleet.get(restore)["Status"] == "finished", fleet.get(restore)
    wait_for(lambda: {"verify", "deliver", "backup", "restore"} <= {each.kind for each in fleet.ended()}, 240)
    assert {each.home for each in fleet.ended()} == {fleet.home("worker")}
    assert worker.poll() is None, worker.err
