"""A drill restores a copy, compares it with its manifest, asks what its owner expects, and leaves nothing."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backupman.drills import Assertion, DrillReport
from backupman.errors import BackupmanError, CopyError, RestoreError
from backupman.manifest import Manifest, TableRows
from backupman.pipeline import Pipeline
from backupman.sources.command import Command
from backupman.sources.sqlite import Sqlite
from tests.data_plane.stored import Stored, dumped, stored

NEWEST = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def copy(tmp_path: Path) -> Stored:
    """A copy of a shop with 1,000 orders."""
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT)")
        rows = [((NEWEST - timedelta(minutes=number)).isoformat(),) for number in range(1000)]
        database.executemany("INSERT INTO orders (at) VALUES (?)", rows)
    source = Sqlite(provider="sqlite", label="Shop", db_path=tmp_path / "shop.sqlite")
    dump, data = dumped(source, "shop", tmp_path / "dump")
    return stored(source, "shop", dump, data, Pipeline(), [], tmp_path / "stored")


def drilled(copy: Stored, **changes: Any) -> DrillReport:
    report = copy.verify("restore", **changes)
    assert report is not None
    assert not copy.task.folder.exists(), "nothing of a drill is left"
    return report


def test_what_was_dumped_is_there_again(copy: Stored) -> None:
    report = drilled(copy)
    assert (report.tables, report.rows, report.compared) == (1, 1000, True)
    assert (report.problems, report.differences, report.assertions, report.newest) == ([], [], [], None)
    assert report.restore_seconds > 0


def test_what_differs_from_the_manifest_is_a_problem(copy: Stored) -> None:
    tables = [TableRows(name="orders", rows=999), TableRows(name="customers", rows=5)]
    report = drilled(copy, manifest=Manifest(provider="sqlite", facts={}, tables=tables))
    assert report.problems == ["orders has 1,000 rows, and 999 were dumped", "the table customers is missing"]


def test_without_a_manifest_some_table_must_be_there(copy: Stored, tmp_path: Path) -> None:
    assert drilled(copy, manifest=None).problems == []
    with closing(sqlite3.connect(tmp_path / "empty.sqlite")) as database, database:
        database.execute("PRAGMA user_version = 1")
    source = Sqlite(provider="sqlite", label="Empty", db_path=tmp_path / "empty.sqlite")
    dump, data = dumped(source, "empty", tmp_path / "another dump")
    empty = stored(source, "empty", dump, data, Pipeline(), [], tmp_path / "empty stored")
    assert drilled(empty, manifest=None).problems == ["no table is there"]
    assert drilled(empty).problems == [], "it was dumped without a table"


def test_assertions_are_asked(copy: Stored) -> None:
    count = "SELECT count(*) FROM orders"
    asked = [
        Assertion(sql=count, expect="= 1000"),
        Assertion(sql=count, expect="> 1000"),
        Assertion(sql="SELECT max(at) FROM orders", expect=f"> {NEWEST - timedelta(minutes=1):%Y-%m-%d %H:%M:%S}"),
        Assertion(sql="SELECT no such thing", expect="> 1"),
        Assertion(sql="DELETE FROM orders", expect="= 0"),
        Assertion(sql="SELECT 'many'", expect="> 1"),
        Assertion(sql="SELECT nonsense", expect="> 1", database="another"),
    ]
    report = drilled(copy, assertions=asked)
    assert [answer.good for answer in report.assertions] == [True, False, True, False, False, False]
    assert report.assertions[1].error == "the answer was '1000', and '> 1000' was expected"
    assert "cannot be compared" in (report.assertions[5].error or "")
    assert len(report.problems) == 4
    assert report.rows == 1000


def test_a_query_that_does_not_end_is_ended(copy: Stored) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    report = drilled(copy, assertions=[Assertion(sql=endless, expect="> 1")], query_timeout=0.2)
    assert [answer.good for answer in report.assertions] == [False]


def test_the_age_of_the_newest_row_is_told(copy: Stored) -> None:
    report = drilled(copy, freshness="SELECT max(at) FROM orders")
    assert report.newest == NEWEST.isoformat()
    assert report.newest_age_seconds is not None
    assert report.newest_age_seconds >= 3600
    assert report.problems == []


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT max(at) FROM orders WHERE id < 0", "there is no row"),
        ("SELECT 'yesterday'", "no date or time"),
        ("SELECT * FROM nowhere", "freshness: "),
    ],
)
def test_a_freshness_that_is_none_is_a_problem(copy: Stored, sql: str, why: str) -> None:
    (problem,) = drilled(copy, freshness=sql).problems
    assert why in problem


def test_what_cannot_be_restored_is_not_good(copy: Stored, tmp_path: Path) -> None:
    command = Command(provider="command", label="Any", argv=["false"])
    with pytest.raises(BackupmanError, match="cannot restore"):
        copy.verify("restore", source=command.for_drill())
    assert not copy.task.folder.exists()


def test_a_copy_is_not_bad_because_there_is_no_server_to_restore_it_into(copy: Stored) -> None:
    away = {"provider": "postgres", "label": "Drills", "host": "127.0.0.1", "port": 1, "user": "nobody", "db_name": "x"}
    with pytest.raises(BackupmanError, match="Drills") as refused:
        copy.verify("restore", scratch=away, database="backupman_drill_1a2b3c4d")
    assert not isinstance(refused.value, CopyError)
    copy.place.write_bytes(copy.whole[:-1])
    with pytest.raises(CopyError):
        copy.verify("restore")


def test_a_scratch_server_that_goes_away_says_nothing_of_the_copy(
    copy: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise RestoreError("Drills: nothing listens there")

    def goes(*_: object) -> None:
        monkeypatch.setattr(Sqlite, "exists", gone)
        raise RestoreError("Drills: the connection was lost")

    monkeypatch.setattr(Sqlite, "restore", goes)
    scratch = {"provider": "sqlite", "label": "Drills", "db_path": str(tmp_path / "drills.sqlite")}
    with pytest.raises(BackupmanError, match="Drills: nothing listens there") as failed:
        copy.verify("restore", scratch=scratch)
    assert not isinstance(failed.value, CopyError)
    assert not copy.task.folder.exists()


def test_a_configured_scratch_server_is_left_as_it_was(copy: Stored, tmp_path: Path) -> None:
    server = Sqlite(provider="sqlite", label="Drills", db_path=tmp_path / "scratch" / "any.sqlite")
    (tmp_path / "scratch").mkdir()
    report = drilled(copy, scratch=server.revealed(), database="backupman_drill_1a2b3c4d")
    assert (report.database, report.rows) == ("backupman_drill_1a2b3c4d", 1000)
    assert list((tmp_path / "scratch").iterdir()) == []
    copy.place.write_bytes(copy.whole[:-1])
    with pytest.raises(BackupmanError):
        copy.verify("restore", scratch=server.revealed(), database="backupman_drill_1a2b3c4d")
    assert list((tmp_path / "scratch").iterdir()) == []
