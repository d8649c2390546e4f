"""Jobs with their next runs, events that a reader catches up with, and the live stream."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from queue import Empty, Queue
from typing import Any

import httpx
import pytest

from backupman.events import EventKind
from backupman.records import Event, now
from tests.api.conftest import KEYS, Api
from tests.e2e.world import wait_for


def test_every_job_has_its_next_ten_runs(configured: Api) -> None:
    configured.config["jobs"] = [
        {"label": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "drives": ["Disk"]},
        {"label": "by hand", "data_sources": ["App"]},
    ]
    with configured.start().client("read") as client:
        nightly, by_hand = client.get("/api/jobs").json()["Results"]
    assert {key: value for key, value in nightly.items() if key != "NextRuns"} == {
        "Label": "nightly",
        "Schedule": "30 2 * * * (Europe/Berlin)",
        "DataSources": ["App"],
        "Drives": ["Disk"],
    }
    runs = [datetime.fromisoformat(run) for run in nightly["NextRuns"]]
    assert len(runs) == 10
    assert runs == sorted(runs)
    assert now() < runs[0] <= now() + timedelta(hours=25)
    assert (by_hand["Schedule"], by_hand["NextRuns"]) == (None, [])


def test_events_are_caught_up_with_from_a_cursor(api: Api, client: httpx.Client) -> None:
    assert client.get("/api/events").json() == {"Results": [], "Cursor": 0}
    (backup,) = api.run()
    first = client.get("/api/events", params={"limit": 2}).json()
    rest = client.get("/api/events", params={"after": first["Cursor"]}).json()
    events = first["Results"] + rest["Results"]
    assert [event["Event"] for event in events] == ["backup_start", "backup_report", "backup_success"]
    assert [event["Cursor"] for event in events] == [1, 2, 3]
    assert {event["BackupId"] for event in events} == {backup.id}
    assert {event["Job"] for event in events} == {"nightly"}
    assert events[1]["Payload"]["Status"] == "finished"
    assert events[1]["Id"] == api.daemon.app.store.outbox.events(kind="backup_report")[0].id
    assert client.get("/api/events", params={"after": rest["Cursor"]}).json() == {"Results": [], "Cursor": 3}


def test_an_event_behind_a_gap_waits_for_what_may_still_come_before_it(api: Api, client: httpx.Client) -> None:
    """As on a server whose transactions end in another order than they began."""

    def add(seq: int, age: timedelta) -> None:
        with api.daemon.app.store._sessions.writing() as session:
            at = now() - age
            session.add(Event(seq=seq, kind=EventKind.NOTIFICATION, time=at, instance="i", job="j", payload={}))

    def cursors(after: int = 0) -> list[int]:
        return [event["Cursor"] for event in client.get("/api/events", params={"after": after}).json()["Results"]]

    young, old = timedelta(seconds=1), timedelta(minutes=1)
    add(5, old)  # history before it was removed
    add(6, young)
    add(8, young)
    assert cursors() == [5, 6]
    add(7, young)
    assert cursors(6) == [7, 8]
    add(11, old)  # whatever had the numbers before was rolled back
    assert cursors(8) == [11]
    add(14, timedelta(days=-400))  # by a clock that was ahead
    assert cursors(11) == [14]


@contextmanager
def streaming(api: Api) -> Iterator["Queue[tuple[str, dict[str, Any]]]"]:
    """What comes on the stream, as it comes."""
    queue: Queue[tuple[str, dict[str, Any]]] = Queue()
    welcome, leave = threading.Event(), threading.Event()

    def read() -> None:
        with api.client("read") as client, client.stream("GET", "/api/stream") as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert answer.headers["X-Accel-Buffering"] == "no"
            name = ""
            for line in answer.iter_lines():
                welcome.set()
                name = line.removeprefix("event: ") if line.startswith("event: ") else name
                if line.startswith("data: "):
                    queue.put((name, json.loads(line.removeprefix("data: "))))
                if leave.is_set():
                    return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert welcome.wait(90)
    yield queue
    leave.set()


def until(queue: "Queue[tuple[str, dict[str, Any]]]", kind: str) -> list[tuple[str, dict[str, Any]]]:
    """What comes up to the first of a kind."""
    found: list[tuple[str, dict[str, Any]]] = []
    deadline = time.monotonic() + 90
    while not found or found[-1][0] != kind:
        try:
            found.append(queue.get(timeout=1))
        except Empty:
            assert time.monotonic() < deadline, f"no {kind} came: {found}"
    return found


def test_the_stream_tells_of_a_backup_from_its_begin_to_its_end(api: Api, client: httpx.Client) -> None:
    with streaming(api) as queue:
        (backup_id,) = client.post("/api/backups").json()["Ids"]
        came = until(queue, "ended")
    assert came[0][0] == "began"
    assert {document["Id"] for _, document in came} == {backup_id}
    assert all(kind == document["Type"] for kind, document in came)
    phases = [document["Phase"] for kind, document in came if kind == "progress"]
    assert "dumping" in phases
    last = came[-1][1]
    assert (last["Status"], last["Error"], last["Drives"]) == ("finished", None, {"Disk": "finished"})
    assert last["Read"] > 0


def test_the_stream_begins_with_what_is_under_way(slow: Api) -> None:
    with slow.client() as client:
        (backup_id,) = client.post("/api/backups", json={"Source": "Slow"}).json()["Ids"]
        wait_for(lambda: client.get(f"/api/backups/{backup_id}").json()["Live"]["Phase"] == "dumping")
        with streaming(slow) as queue:
            ((kind, document),) = until(queue, "progress")
            assert (kind, document["Id"], document["Phase"]) == ("progress", backup_id, "dumping")
            client.post(f"/api/backups/{backup_id}/cancel")
            assert until(queue, "ended")[-1][1]["Error"] == "Slow: cancelled by api key"


def test_a_reader_whose_key_leaves_the_config_is_told_nothing_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.api.jobs.ASK_EVERY", 0.1)
    with api.client("read") as client, client.stream("GET", "/api/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": welcome"
        api.config["http"]["api_keys"] = [KEYS["root"]]
        api.write()
        api.daemon.reload()
        assert list(islice(lines, 3)) == [""]


def test_a_reader_that_leaves_is_forgotten(api: Api) -> None:
    live = api.daemon.live
    with api.client() as client:
        with client.stream("GET", "/api/stream") as answer:
            lines = answer.iter_lines()
            next(lines)
            assert len(live._subscribers) == 1
        wait_for(lambda: not live._subscribers)


def test_a_stream_ends_with_the_daemon(api: Api) -> None:
    with api.client() as client, client.stream("GET", "/api/stream") as answer:
        lines = answer.iter_lines()
        next(lines)
        api.stop()
        with pytest.raises((StopIteration, httpx.RemoteProtocolError)):
            while True:
                next(lines)


def test_a_silent_stream_shows_that_it_is_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.api.jobs._HEARTBEAT", 0.3)
    with api.client() as client, client.stream("GET", "/api/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": welcome"
        assert next(line for line in lines if line and line != ": welcome") == ": still here"
