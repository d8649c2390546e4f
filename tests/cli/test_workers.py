"""`workers`: who works, on what, and which queues have work that nobody takes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.records import AssignmentKind, now
from backupman.store import Store
from tests.cli.conftest import Inside
from tests.engine._fleet import INSTANCE, sections, shared_store, work, worker


@pytest.fixture
def store(config: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """The records of a config whose work is handed to workers."""
    config |= sections(request)
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    with shared_store(config) as opened:
        yield opened


def test_where_there_are_no_workers_one_sentence_says_so(inside: Inside, config: dict[str, Any]) -> None:
    ended = inside("workers")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "Error: there are no workers here: all work is done by the daemon itself. `executor: procrastinate` hands it "
        "to workers, and needs a `database` on PostgreSQL"
    ]


def test_a_fleet_without_workers_and_without_work_is_all_right(store: Store, inside: Inside) -> None:
    ended = inside("workers")
    assert (ended.code, ended.err) == (0, "")
    assert "No worker was ever started." in ended.out
    assert ended.out.splitlines()[-1].split() == ["any", "0", "nobody"]
    assert inside("workers", "--json").json == {
        "Workers": [],
        "Queues": [{"Queue": "any", "Waiting": 0, "Oldest": None, "Workers": [], "UnattendedSince": None}],
    }


def test_who_works_on_what_and_what_waits(store: Store, inside: Inside) -> None:
    busy = worker(store, "db-7", "db7", takes_any=True)
    worker(store, "db-8", "db8", lives=False)
    worker(store, "db-9", takes_any=True, lives=False, stopped_at=now())
    worker(store, "elsewhere", "db9", instance="other")
    work(store, "db7", "shop", by=busy)
    work(store, "any", "", by=busy, kind=AssignmentKind.DELIVER, job="")
    work(store, "db7", "blog")
    work(store, "db9", "theirs", instance="other")
    ended = inside("workers")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["HOST", "STATE", "VERSION", "TAKES", "FROM", "DOING", "LAST", "HEARD", "OF"]
    assert "✓ living" in lines[1] and "db7, any" in lines[1] and "backup of shop since " in lines[1]
    assert "messages since " in lines[2]
    assert "✗ lost" in lines[3] and "- stopped" in lines[4]
    assert "elsewhere" not in ended.out and "db9" not in ended.out
    document = inside("workers", "--json").json
    assert [(each["Host"], each["State"], each["Queues"], each["Slots"]) for each in document["Workers"]] == [
        ("db-7", "living", ["db7", "any"], 2),
        ("db-8", "lost", ["db8"], 2),
        ("db-9", "stopped", ["any"], 2),
    ]
    doing = [(each["Kind"], each["What"], each["Job"], each["Source"]) for each in document["Workers"][0]["Doing"]]
    assert doing == [("backup", "backup of shop", "nightly", "shop"), ("deliver", "messages", None, None)]
    assert [(each["Queue"], each["Waiting"], each["Workers"]) for each in document["Queues"]] == [
        ("any", 0, ["db-7"]),
        ("db7", 1, ["db-7"]),
        ("db8", 0, []),
    ]
    quiet = inside("workers", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_work_that_nobody_takes_ends_with_1_and_says_what_to_do(
    store: Store, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    at = now() - timedelta(hours=2)
    worker(store, "db-8", "db8", lives=False, heard_at=at - timedelta(hours=1))
    work(store, "db8", "shop", at=at)
    work(store, "db8", "blog", at=at + timedelta(hours=1))
    work(store, "any", "wiki", at=at)
    ended = inside("workers")
    assert ended.code == 1
    since = f"{at.astimezone():%Y-%m-%d %H:%M %Z}"
    assert ended.out.splitlines()[-2:] == [
        f"✗ any: 1 assignment waits, and no living worker takes from this queue since {since}: start one with "
        "`backupman worker`",
        f"✗ db8: 2 assignments wait, and no living worker takes from this queue since {since}: start one with "
        "`backupman worker --queue db8`",
    ]
    quiet = inside("workers", "-q")
    assert (quiet.code, quiet.out, len(quiet.err.splitlines())) == (1, "", 2)
    document = inside("workers", "--json")
    assert document.code == 1
    assert [each["UnattendedSince"] for each in document.json["Queues"]] == [f"{at:%Y-%m-%dT%H:%M:%SZ}"] * 2


def test_a_narrow_terminal_cuts_nothing_off(store: Store, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    host = "database-host-of-the-northern-region.example.com"
    work(store, "db7", "shop", by=worker(store, host, "db7"))
    ended = inside("workers")
    assert host in ended.out.replace("\n", "")
    assert "backup of shop" in ended.out


def test_a_queue_is_unattended_only_from_when_its_last_worker_was_heard_of(store: Store) -> None:
    from backupman.engine.workers import fleet

    at = now() - timedelta(hours=2)
    stopped = worker(store, "db-7", "db7", lives=False, heard_at=at, stopped_at=at + timedelta(minutes=5))
    work(store, "db7", at=at - timedelta(days=1))
    [_, queue] = fleet(store, INSTANCE).queues
    assert (queue.unattended_since, queue.last) == (at + timedelta(minutes=5), stopped)
