"""`workers`: who works, on what, and which queues have work that nobody takes."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.engine.workers import fleet as fleet_of
from backupman.records import AssignmentKind, new_id, now
from tests.cli.conftest import Inside
from tests.engine._fleet import Fleet, fleet, shared_records

__all__ = ["fleet", "shared_records"]


@pytest.fixture
def known(fleet: Fleet, config: dict[str, Any], tmp_path: Path) -> Fleet:
    """A fleet that the config of the test's folder leads to."""
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config | fleet.sections))
    return fleet


def test_where_there_are_no_workers_one_sentence_says_so(inside: Inside, config: dict[str, Any]) -> None:
    ended = inside("workers")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "Error: there are no workers here: all work is done by the daemon itself. `executor: procrastinate` hands it "
        "to workers, and needs a `database` on PostgreSQL"
    ]


def test_a_fleet_without_workers_and_without_work_is_all_right(known: Fleet, inside: Inside) -> None:
    ended = inside("workers")
    assert (ended.code, ended.err) == (0, "")
    assert "No worker was ever started." in ended.out
    assert ended.out.splitlines()[-1].split() == ["any", "0", "nobody"]
    assert inside("workers", "--json").json == {
        "Workers": [],
        "Queues": [
            {"Queue": "any", "Label": "any", "Waiting": 0, "Oldest": None, "Workers": [], "UnattendedSince": None}
        ],
    }


def test_a_workers_own_config_shows_the_same(known: Fleet, inside: Inside, tmp_path: Path) -> None:
    known.worker("db-7", "db7")
    own = {key: known.sections[key] for key in ("instance", "database")}
    (tmp_path / "worker.yml").write_text(yaml.safe_dump(own))
    ended = inside("workers", "-c", "worker.yml", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json == inside("workers", "--json").json


def test_who_works_on_what_and_what_waits(known: Fleet, inside: Inside) -> None:
    busy = known.worker("db-7", "db7", takes_any=True)
    known.worker("db-8", "db8", lives=False)
    known.worker("db-9", takes_any=True, lives=False, stopped_at=now())
    other = Fleet(known.address, known.store, new_id()[:8])
    other.worker("elsewhere", "db9")
    known.work("db7", "shop", by=busy)
    known.work("any", "", by=busy, kind=AssignmentKind.DELIVER, job="")
    known.work("db7", "blog")
    other.work("db9", "theirs")
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


def test_work_that_nobody_takes_ends_with_1_and_says_what_to_do(known: Fleet, inside: Inside) -> None:
    at = now() - timedelta(hours=2)
    known.worker("db-8", "db8", lives=False, heard_at=at - timedelta(hours=1))
    known.work("db8", "shop", at=at)
    known.work("db8", "blog", at=at + timedelta(hours=1))
    known.work("any", "wiki", at=at)
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


def test_a_narrow_terminal_cuts_nothing_off(known: Fleet, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    host = "database-host-of-the-northern-region.example.com"
    known.work("db7", "shop", by=known.worker(host, "db7"))
    ended = inside("workers")
    assert host in ended.out.replace("\n", "")
    assert "backup of shop" in ended.out


def test_a_queue_is_unattended_only_from_when_its_last_worker_was_heard_of(fleet: Fleet) -> None:
    at = now() - timedelta(hours=2)
    stopped = fleet.worker("db-7", "db7", lives=False, heard_at=at, stopped_at=at + timedelta(minutes=5))
    fleet.work("db7", at=at - timedelta(days=1))
    [_, queue] = fleet_of(fleet.store, fleet.instance).queues
    assert (queue.unattended_since, queue.last) == (at + timedelta(minutes=5), stopped)
