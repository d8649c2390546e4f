"""Signs of life: what each of them promises, to whom it says what, and that asking wears nothing out."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from backupman import __version__
from backupman.engine import health
from backupman.engine.alarm_drills import begin, drilled
from backupman.engine.health import Checkup
from backupman.records import Incident, now
from tests.api.conftest import Api
from tests.e2e.world import World, wait_for
from tests.servers.receiver import Answer, Receiver

NO_RECORDS = {"Status": "DOWN", "Incidents": None, "Reason": "the records cannot be used, and the log says why"}


def test_ping_answers_as_the_original_does(api: Api) -> None:
    with api.client(None) as client:
        answer = client.get("/ping")
    assert (answer.status_code, answer.json()) == (200, {"message": "pong"})


def test_health_has_the_documented_shape_with_a_key_and_hardly_any_without(api: Api) -> None:
    with api.client("read") as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    up = {"Status": "UP", "Components": None}
    quiet = {"Endpoint": "webhook/Hook", "GivenUp": 0, "Oldest": None, "LastDelivered": None}
    quiet |= {"Drill": "never", "DrillAt": None, "Said": None}
    assert answer.json() == {
        "Version": __version__,
        "CommitSHA": None,
        "BuildDate": None,
        "Status": "UP",
        "Details": {
            "Database": up,
            "Drives": {"Status": "UP", "Components": {"Disk": up}},
            "DataSources": {"Status": "UP", "Components": {"App": up}},
            "Messages": {"GivenUp": 0, "Oldest": None, "Endpoints": [quiet]},
        },
    }
    for key in (None, "ingest", "run"):
        with api.client(key) as client:
            body = client.get("/health").json()
        assert list(body) == ["Version", "CommitSHA", "BuildDate", "Status"]


def test_health_tells_who_was_not_told_without_an_address(api: Api, client: httpx.Client, receiver: Receiver) -> None:
    app = api.daemon.app
    receiver.at["/hook"] = Answer(404)
    assert begin(app.config, app.store, drilled(app.config), now(), now())
    app.dispatcher.drain(timedelta(seconds=20))
    answer = client.get("/health")
    assert answer.status_code == 200, "it is about what can be reached"
    messages = answer.json()["Details"]["Messages"]
    [hook] = messages["Endpoints"]
    assert (messages["GivenUp"], hook["GivenUp"], hook["Drill"]) == (1, 1, "failed")
    assert messages["Oldest"] == hook["Oldest"] is not None
    assert hook["Said"] == "the receiver answered 404 Not Found: check the url"
    assert receiver.url not in answer.text


def test_health_is_503_when_something_is_down_and_says_what(api: Api, client: httpx.Client) -> None:
    Path(api.config["data_sources"][0]["db_path"]).unlink()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["Status"]) == (503, "DOWN")
    details = answer.json()["Details"]
    assert details["Drives"]["Status"] == details["Database"]["Status"] == "UP"
    assert details["DataSources"]["Status"] == "DOWN"
    assert details["DataSources"]["Components"]["App"]["Status"] == "DOWN"
    assert "app.db" in details["DataSources"]["Components"]["App"]["Error"]


def test_health_is_asked_once_for_many_and_leaves_no_litter(api: Api, client: httpx.Client) -> None:
    assert client.get("/health").status_code == 200
    before = World.litter(api.folder)
    Path(api.config["data_sources"][0]["db_path"]).rename(api.folder / "away")
    assert [client.get("/health").status_code for _ in range(20)] == [200] * 20  # what was found a moment ago
    (api.folder / "away").rename(api.config["data_sources"][0]["db_path"])
    assert World.litter(api.folder) == before


def test_health_is_checked_anew_when_the_config_was_read_anew(api: Api, client: httpx.Client) -> None:
    assert client.get("/health").status_code == 200
    api.config["data_sources"].append({"provider": "sqlite", "label": "Gone", "db_path": "/nowhere/gone.db"})
    api.write()
    api.daemon.reload()
    answer = client.get("/health")
    assert answer.status_code == 503
    assert set(answer.json()["Details"]["DataSources"]["Components"]) == {"App", "Gone"}


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A port that takes connections and says nothing, until it is closed: then they are reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def hanging(configured: Api, silent: socket.socket) -> Api:
    """A daemon with a source whose check does not come back by itself."""
    configured.config["data_sources"].append(
        {
            "provider": "postgres",
            "label": "Silent",
            "host": "127.0.0.1",
            "port": silent.getsockname()[1],
            "db_name": "x",
            "user": "x",
            "password": "x",
        }
    )
    return configured.start()


@contextmanager
def asking(api: Api, count: int) -> Iterator[list[httpx.Response]]:
    """So many ask for the health at once; what they were answered, which is all at the end."""
    answers: list[httpx.Response] = []

    def ask() -> None:
        with api.client() as client:
            answers.append(client.get("/health", timeout=90))

    askers = [threading.Thread(target=ask) for _ in range(count)]
    for asker in askers:
        asker.start()
    try:
        yield answers
    finally:
        for asker in askers:
            asker.join(90)
    assert len(answers) == count


def test_what_hangs_is_down_after_a_while(hanging: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.api.service._CHECK_WITHIN", timedelta(seconds=5))
    with asking(hanging, 12) as answers:
        pass
    assert [answer.status_code for answer in answers] == [503] * 12
    component = answers[0].json()["Details"]["DataSources"]["Components"]["Silent"]
    assert component["Error"] == "Silent: no answer within 5 s"
    assert answers[0].json()["Details"]["DataSources"]["Components"]["App"]["Status"] == "UP"


def test_what_hangs_keeps_nobody_else_waiting(
    hanging: Api, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backupman.api.service._CHECK_WITHIN", timedelta(seconds=80))
    with asking(hanging, 12) as answers, hanging.client() as client:
        for path in ("/ping", "/livez", "/api/backups", "/api/jobs"):
            assert client.get(path).status_code == 200
        assert answers == [], "the others were answered while all of them wait"
        silent.close()
    assert [answer.status_code for answer in answers] == [503] * 12


def test_whoever_asks_during_a_check_gets_what_the_last_one_found(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    config, clock = api.daemon.app.config, [0.0]
    checkup = Checkup(timedelta(seconds=30), lambda: clock[0])
    first = checkup.of(config, timedelta(seconds=10))
    clock[0] = 31.0
    under_way, go_on = threading.Event(), threading.Event()

    def slow(config: object, timeout: timedelta) -> health.Health:
        under_way.set()
        go_on.wait(10)
        return health.Health(list(first.components))

    monkeypatch.setattr("backupman.engine.health.check", slow)
    found: list[health.Health] = []
    checker = threading.Thread(target=lambda: found.append(checkup.of(config, timedelta(seconds=10))))
    checker.start()
    under_way.wait(10)
    assert checkup.of(config, timedelta(seconds=10)) is first
    go_on.set()
    checker.join(10)
    assert found[0] is not first
    assert checkup.of(config, timedelta(seconds=10)) is found[0]


def test_livez_is_good_while_everything_else_is_down(api: Api) -> None:
    shutil.rmtree(api.folder / "state")
    with api.client(None) as client:
        answer = client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"Status": "UP"})


def test_readyz_tells_of_broken_deadlines(api: Api) -> None:
    with api.client(None) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"Status": "UP", "Incidents": 0, "Reason": None})
        at = now()
        with api.daemon.app.store._sessions.writing() as session:
            for instance in ("test-host", "another"):
                session.add(
                    Incident(
                        instance=instance,
                        kind="backup_late",
                        job="nightly",
                        source="App",
                        database="",
                        due_at=at,
                        opened_at=at,
                        reminded_at=at,
                    )
                )
        answer = client.get("/readyz")
    reason = "incidents are open: 1; `backupman doctor` and the log name them"
    assert (answer.status_code, answer.json()) == (503, {"Status": "DOWN", "Incidents": 1, "Reason": reason})


def test_readyz_and_the_list_say_when_the_store_is_away_and_livez_does_not(
    configured: Api, said: Callable[[], str]
) -> None:
    file = configured.folder / "records" / "records.db"
    configured.config["database"] = {"provider": "sqlite", "db_path": str(file)}
    with configured.start().client() as client:
        configured.daemon.app.store.close()
        file.write_bytes(b"no database" * 1000)  # the file is the same one, and was not put away
        answer = client.get("/readyz")  # which needs no key, so it does not tell where the records are
        assert (answer.status_code, answer.json()) == (503, NO_RECORDS)
        assert "not ready: the store" in said()
        answer = client.get("/api/backups")
        assert answer.status_code == 503
        assert "cannot be used" in answer.json()["Error"]
        assert client.get("/livez").status_code == 200


def test_readyz_says_when_the_daemon_cannot_use_its_records_although_incidents_can_be_read(configured: Api) -> None:
    def rename(before: str, after: str) -> None:
        """In a process of its own, which takes no lock from the daemon."""
        script = f"import sqlite3; sqlite3.connect({str(file)!r}).execute('alter table {before} rename to {after}')"
        subprocess.run([sys.executable, "-c", script], check=True)

    configured.start(scheduling=True)
    file, table = configured.folder / "state" / "backupman.db", "backupman_deliveries"
    with configured.client(None) as client:
        assert client.get("/readyz").status_code == 200
        rename(table, "away")
        wait_for(lambda: client.get("/readyz").status_code == 503)
        assert client.get("/readyz").json() == NO_RECORDS
        assert client.get("/livez").status_code == 200
        rename("away", table)
        wait_for(lambda: client.get("/readyz").status_code == 200)


def test_readyz_says_when_the_state_folder_was_moved_away(api: Api) -> None:
    (api.folder / "state").rename(api.folder / "state.gone")
    with api.client(None) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["Incidents"]) == (503, None)
        assert answer.json()["Reason"].startswith("the state folder was removed, moved or replaced")
        assert client.get("/livez").status_code == 200


def test_an_answer_is_not_held_back_by_the_network(client: httpx.Client) -> None:
    """Two writes without TCP_NODELAY would take 40 ms each time."""
    taken = []
    for _ in range(10):
        began = time.perf_counter()
        client.get("/ping")
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.03


def test_what_is_served_lasts_as_long_as_the_daemon(api: Api) -> None:
    with api.client() as client:
        assert client.get("/ping").status_code == 200
        url = api.url
        api.stop()
        with pytest.raises(httpx.TransportError):
            client.get(f"{url}/ping")
    wait_for(lambda: not any(thread.name == "http" for thread in threading.enumerate()))
