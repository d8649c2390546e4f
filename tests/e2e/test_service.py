"""`backupman serve` as a service: it says that it is ready, reloads, stops in good order, and works alone."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.e2e.test_crashes import Service
from tests.e2e.world import World, wait_for
from tests.servers._process import free_port

SLOW = {"provider": "command", "label": "Slow", "argv": ["sh", "-c", "head -c 20000000 /dev/urandom; sleep 600"]}


@pytest.fixture
def served(world: World) -> World:
    """A world whose daemon has a job for every day, and a key."""
    world.config["http"] = {"host": "127.0.0.1", "port": free_port(), "api_keys": ["s3cret-key"]}
    world.config["jobs"] = [{"label": "daily", "cron": "@daily"}]
    return world


def api(world: World) -> httpx.Client:
    """A client with the key."""
    port = world.config["http"]["port"]
    url, headers = f"http://127.0.0.1:{port}", {"X-Api-Key": "s3cret-key"}
    return httpx.Client(base_url=url, headers=headers, timeout=90, trust_env=False)


def answers(world: World) -> bool:
    """Whether the daemon answers."""
    try:
        with api(world) as client:
            return bool(client.get("/ping").json() == {"message": "pong"})
    except httpx.TransportError:
        return False


def jobs(world: World) -> list[str]:
    """The jobs that the daemon has now."""
    with api(world) as client:
        return [job["Label"] for job in client.get("/api/jobs").json()["Results"]]


def test_it_tells_systemd(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(served.folder / "notify"))
        told.settimeout(90)
        monkeypatch.setenv("NOTIFY_SOCKET", str(served.folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        service = Service(served)
        assert told.recv(4096).startswith(b"READY=1")
        assert told.recv(4096) == b"WATCHDOG=1"
        assert answers(served)
        service.process.terminate()
        while (last := told.recv(4096)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=120000000"  # shutdown_grace, and as much again to clean up
        assert service.wait() == 0


def test_a_changed_config_is_taken_and_a_wrong_one_is_not(served: World) -> None:
    service = Service(served)
    wait_for(lambda: answers(served))
    assert jobs(served) == ["daily"]
    served.config["jobs"].append({"label": "weekly", "cron": "@weekly"})
    served.config_file.write_text(yaml.safe_dump(served.config))
    service.process.send_signal(signal.SIGHUP)
    wait_for(lambda: jobs(served) == ["daily", "weekly"])
    served.config_file.write_text("jobs: [")
    service.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the old one stays" in service.process.err)
    assert jobs(served) == ["daily", "weekly"]
    service.stop()
    assert "Traceback" not in service.process.err


def test_what_is_running_is_ended_and_recorded_when_the_grace_is_over(served: World) -> None:
    served.config |= {"data_sources": [SLOW], "shutdown_grace": "1s"}
    service = Service(served)
    wait_for(lambda: answers(served))
    with api(served) as client:
        started = client.post("/api/backups").json()
        assert started["Message"] == "Backup started"
        wait_for(lambda: served.litter(served.drive))
        assert client.post("/api/backups").status_code == 409
    service.stop()
    (backup,) = served.backups()
    assert (backup["Id"], backup["Status"]) == (started["Ids"][0], "failed")
    assert "stopped" in backup["Error"]
    served.assert_clean()


def test_a_backup_is_cancelled_over_http(served: World) -> None:
    served.config["data_sources"] = [SLOW]
    service = Service(served)
    wait_for(lambda: answers(served))
    with api(served) as client:
        (backup_id,) = client.post("/api/backups").json()["Ids"]
        wait_for(lambda: client.get(f"/api/backups/{backup_id}").json()["Live"]["Phase"] == "dumping")
        wait_for(lambda: served.litter(served.drive))
        assert client.post(f"/api/backups/{backup_id}/cancel").status_code == 200
        wait_for(lambda: client.get(f"/api/backups/{backup_id}").json()["Status"] == "failed")
        assert "cancelled" in client.get(f"/api/backups/{backup_id}").json()["Error"]
    wait_for(served.reports)
    service.stop()
    served.assert_clean()


def test_a_second_daemon_in_the_same_folder_is_refused(served: World) -> None:
    service = Service(served)
    wait_for(lambda: answers(served))
    second = served.run("serve", "-p", str(free_port()))
    assert second.code == 3
    assert "already" in second.err
    service.stop()


def test_daemons_that_start_in_vain_are_told_of_and_so_is_the_one_that_works(
    served: World,
) -> None:
    records = served.folder / "records.db"
    records.mkdir()
    served.config["database"] = {"provider": "sqlite", "db_path": str(records)}
    served.config["notifiers"]["webhook"]["endpoints"][0]["events"] = ["records_failure", "records_recovered"]
    mark = Path(served.config["state_folder"]) / "records-failure"
    for requests, ago in ((0, 60.0), (1, 60.0), (1, 0.0)):
        ended = served.run("serve")
        assert (ended.code, len(served.receiver.requests)) == (1, requests)
        assert "records.db cannot be used" in ended.err
        os.utime(mark, (time.time() - ago,) * 2)
    records.rmdir()
    service = Service(served)
    [failed, recovered] = [json.loads(request.body) for request in served.receiver.wait(2)]
    assert (failed["Event"], recovered["Event"]) == ("records_failure", "records_recovered")
    assert str(records) in failed["Payload"]["Reason"]
    service.stop()
    assert not mark.exists()


def test_a_port_that_is_taken(served: World) -> None:
    with socket.create_server(("127.0.0.1", served.config["http"]["port"])):
        ended = served.run("serve")
    assert ended.code == 2
    assert "http.port" in ended.err
    assert "Traceback" not in ended.err


def test_without_a_key_only_this_machine_is_listened_to(served: World) -> None:
    del served.config["http"]["api_keys"], served.config["http"]["host"]
    service = Service(served)
    wait_for(lambda: answers(served))
    port = f"{served.config['http']['port']:04X}"
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{port}")] == [f"0100007F:{port}"]
    with api(served) as client:
        assert client.get("/api/backups").status_code == 401
    service.stop()


def test_it_ends_when_its_state_folder_is_moved_away(served: World) -> None:
    """Nothing is left behind in a file that nobody else can see, while others begin another one in its place."""
    service = Service(served)
    wait_for(lambda: answers(served))
    state = served.folder / "state"
    state.rename(served.folder / "state.gone")
    assert service.wait() == 1
    said = [line for line in service.process.err.splitlines() if " CRITICAL " in line]
    assert len(said) == 1
    assert f"stopping: {state}/daemon.lock was removed, moved or replaced while the daemon ran" in said[0]
    assert "Traceback" not in service.process.err
    (served.folder / "state.gone").rename(state)
    again = Service(served)
    wait_for(lambda: answers(served))
    again.stop()
