"""`import` as a user types it: a Go program's backups are taken over, and are backups like others from then on."""

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Inside
from tests.drives._google import google_drive
from tests.servers.google_drive import Google
from tests.store.conftest import sqlite_address
from tests.store.go_program import GoProgram

DAYS = range(1, 4)


@pytest.fixture
def go(tmp_path: Path) -> dict[str, Any]:
    """A Go program with three backups of a SQLite database on a disk, and its config, which has no word of ours."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("create table users (name text)")
        database.execute("insert into users values ('Ada')")
    made: dict[str, Any] = {
        "database": {"provider": "sqlite", "db_path": "go.db"},
        "data_sources": [{"provider": "sqlite", "label": "App 1", "db_path": "./app.db", "tmp_folder": "./tmp/sqlite"}],
        "drives": [{"provider": "local", "label": "Disk", "folder": "./tmp/drive"}],
    }
    (tmp_path / "tmp/drive").mkdir(parents=True)
    program = GoProgram(sqlite_address(tmp_path / "go.db"))
    for day in DAYS:
        (tmp_path / f"tmp/drive/2025070{day}100000.db").write_bytes((tmp_path / "app.db").read_bytes())
        program.add("App 1", ("local", "Disk", f"tmp/drive/2025070{day}100000.db"), at=f"2025-07-0{day} 10:00:00")
    program.close()
    write(tmp_path, made)
    return made


def write(folder: Path, config: dict[str, Any]) -> None:
    (folder / "go.yml").write_text(yaml.safe_dump(config))


def backups(inside: Inside) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(inside("list", "--json", "-c", "go.yml").out)["Results"]
    return found


def test_backups_are_taken_over_and_are_backups_like_others(go: dict[str, Any], inside: Inside, tmp_path: Path) -> None:
    ended = inside("import", "--from-go", "go.yml", "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "✓ App 1: 3 backups (3 finished, 0 failed) with 3 copies taken over",
        "Sizes and checksums are not known yet; find them: backupman reconcile --fix -c go.yml",
    ]
    newest = backups(inside)[0]
    assert (newest["Status"], newest["CreatedAt"], newest["Size"]) == ("finished", "2025-07-03T10:00:00Z", None)
    shown = inside("show", "latest", "-c", "go.yml").out
    assert "by the Go program" in shown
    assert "tmp/drive/20250703100000.db" in shown
    restored = inside("restore", "latest", "--output", "back.db", "-c", "go.yml")
    assert restored.code == 0
    assert "nobody can tell whether its copy is whole" in restored.err
    assert (tmp_path / "back.db").read_bytes() == (tmp_path / "app.db").read_bytes()
    ended = inside("verify", "latest", "-c", "go.yml")
    assert ended.code == 1
    assert "no checksum is known" in ended.err


def test_reconcile_fills_in_what_the_go_program_did_not_know(
    go: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    assert inside("import", "--from-go", "go.yml", "--yes").code == 0
    ended = inside("reconcile", "-c", "go.yml")
    assert (ended.code, ended.err) == (0, "Put right what can be: backupman reconcile --fix -c go.yml\n")
    assert ended.out.splitlines()[0] == "✓ Disk: 3 copies are as recorded, 3 of them not read before"
    ended = inside("reconcile", "--fix", "-c", "go.yml")
    assert ended.code == 0
    assert ended.out.splitlines()[0].endswith("; 3 put right now")
    size = (tmp_path / "app.db").stat().st_size
    for backup in backups(inside):
        assert (backup["Size"], backup["StoredSize"], backup["DriveFiles"][0]["Size"]) == (size, size, size)
    assert inside("verify", "--all", "-c", "go.yml").code == 0
    assert inside("verify", "latest", "--level", "structure", "-c", "go.yml").code == 0
    assert sorted(path.name for path in (tmp_path / "tmp/drive").rglob("*")) == [
        f"2025070{day}100000.db" for day in DAYS
    ]
    (tmp_path / "tmp/drive/20250701100000.db").write_bytes(b"x" * size)
    assert inside("verify", "--all", "-c", "go.yml").code == 1


def test_a_copy_that_is_gone_is_copied_anew_from_another_drive_under_a_name_of_ours(
    go: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    write(tmp_path, go | {"drives": [*go["drives"], {"provider": "local", "label": "Away", "folder": "away"}]})
    (tmp_path / "away").mkdir()
    object_ = tmp_path / "away/20250703100001.db"
    object_.write_bytes((tmp_path / "app.db").read_bytes())
    with closing(sqlite3.connect(tmp_path / "go.db")) as database, database:
        [(newest,)] = database.execute("select id from backups order by created_at desc limit 1")
        values = ("8c3b8d3e-0000-4000-8000-000000000001", newest, "away/20250703100001.db")
        database.execute(
            "insert into backup_drive_files values (?, ?, 'local', 'Away', ?, 'finished', '2025-07-03', '')", values
        )
    assert inside("import", "--from-go", "go.yml", "--yes").code == 0
    object_.unlink()
    ended = inside("reconcile", "--fix", "--drive", "Away", "-c", "go.yml")
    assert ended.code == 1
    assert "nobody can tell which copy" in ended.out
    assert inside("reconcile", "--fix", "--drive", "Disk", "-c", "go.yml").code == 0
    assert inside("reconcile", "--fix", "--drive", "Away", "-c", "go.yml").code == 0
    [copy] = [file for file in backups(inside)[0]["DriveFiles"] if file["Label"] == "Away"]
    assert Path(copy["Path"]).read_bytes() == (tmp_path / "app.db").read_bytes()
    assert Path(copy["Path"]).name.startswith("backup-20250703100000-")
    assert Path(f"{copy['Path']}.json").exists()
    assert inside("verify", "--all", "-c", "go.yml").code == 0
    assert inside("reconcile", "-c", "go.yml").code == 0


def test_retention_covers_them_as_its_rule_says_and_only_then(
    go: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    assert inside("import", "--from-go", "go.yml", "--yes").code == 0
    assert inside("run", "-q", "-c", "go.yml").code == 0
    assert len(backups(inside)) == 4
    write(tmp_path, go | {"retention": {"enabled": True, "by": "age", "value": 30}})
    assert inside("prune", "-q", "-c", "go.yml").code == 0
    assert len(backups(inside)) == 4, "they were young before the backups paused"
    with closing(sqlite3.connect(tmp_path / "go.db")) as database, database:
        older = "update backupman_backups set created_at = datetime(created_at, '-30 days') || '.000000'"
        database.execute(f"{older} where trigger = 'manual'")
    assert inside("prune", "-q", "-c", "go.yml").code == 0
    assert [backup["Trigger"] for backup in backups(inside)] == ["manual"]
    assert list((tmp_path / "tmp/drive").glob("2025*")) == []


def test_what_could_not_be_taken_is_said_line_by_line_and_ends_with_1(
    go: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "go.db")) as database, database:
        database.execute("update backup_drive_files set path = '/elsewhere/1.db' where path like '%20250701%'")
        database.execute("update backups set status = 'odd' where created_at like '2025-07-02%'")
    ended = inside("import", "--from-go", "go.yml", "--yes")
    assert ended.code == 1
    assert "1 backup (1 finished, 0 failed)" in ended.out
    *lines, last = [line for line in ended.err.splitlines() if line]
    assert len([line for line in lines if line.startswith("✗ ")]) == 2
    assert "of App 1, its copy on Disk: /elsewhere/1.db is not in the drive's folder tmp/drive" in ended.err
    assert "its status 'odd' is not known" in ended.err
    assert last.startswith("2 could not be taken over")


def test_json_says_the_same_in_one_document(go: dict[str, Any], inside: Inside, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "go.db")) as database, database:
        database.execute("update backups set label = '' where created_at like '2025-07-02%'")
    ended = inside("import", "--from-go", "go.yml", "--dry-run", "--json")
    assert (ended.code, ended.err) == (1, "")
    said = json.loads(ended.out)
    assert (said["DryRun"], said["LeftCount"], said["Left"][0]["Drive"]) == (True, 1, None)
    tally = {"Backups": 2, "Finished": 2, "Failed": 0, "Copies": 2, "Already": 0}
    assert said["Results"] == [{"Label": "App 1"} | tally]
    assert backups(inside) == []


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({}, [], "say --yes if that is meant, or --dry-run"),
        ({"database": {"provider": "memory"}}, ["--yes"], "kept its records in memory"),
        ({"database": None}, ["--yes"], "has no `database`: name it with --database-url"),
        ({}, ["--yes", "--database-url", "oracle://x"], "--database-url: should be"),
        ({}, ["--yes", "--database-url", "sqlite:///nowhere.db"], "there is no nowhere.db"),
        ({"database": {"provider": "sqlite", "db_path": "app.db"}}, ["--yes"], "holds no table 'backups'"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(
    go: dict[str, Any], inside: Inside, tmp_path: Path, changes: dict[str, Any], words: list[str], said: str
) -> None:
    write(tmp_path, {key: value for key, value in (go | changes).items() if value is not None})
    ended = inside("import", "--from-go", "go.yml", *words)
    assert ended.code in (1, 2)
    assert ended.err.startswith("Error: ")
    assert said in ended.err
    assert ended.out == ""


def test_our_own_config_counts_where_there_is_one_and_another_database_may_be_named(
    go: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    (tmp_path / "go.db").rename(tmp_path / "moved.db")
    ours = go | {"database": {"provider": "sqlite", "db_path": "ours.db"}, "instance": "new-host"}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(ours))
    assert inside("import", "--from-go", "go.yml", "--yes", "--database-url", "sqlite:///moved.db").code == 0
    found = json.loads(inside("list", "--json").out)["Results"]
    assert [(backup["Instance"], backup["Label"]) for backup in found] == [("new-host", "App 1")] * 3
    with closing(sqlite3.connect(tmp_path / "moved.db")) as database:
        assert {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")} == {
            *("backups", "backup_drive_files"),
        }


def test_what_google_drive_holds_is_found_by_its_name(
    go: dict[str, Any], inside: Inside, tmp_path: Path, google: Google
) -> None:
    drive = google_drive(google, tmp_path / "google", label="Cloud", folder="demo")
    drive.upload(io.BytesIO((tmp_path / "app.db").read_bytes()), "20250704100000.db", {})
    write(tmp_path, go | {"drives": [*go["drives"], drive.revealed()]})
    with closing(sqlite3.connect(tmp_path / "go.db")) as database, database:
        for name, path in (("aaaaaaaa", "20250704100000.db"), ("bbbbbbbb", "20250705100000.db")):
            key = f"{name}-0000-4000-8000-000000000000"
            database.execute(
                "insert into backups values (?, 'finished', 'App 1', '', '2025-07-04 10:00:00', null)", (key,)
            )
            values = (key, key, path)
            database.execute(
                "insert into backup_drive_files "
                "values (?, ?, 'google_drive', 'Cloud', ?, 'finished', '2025-07-04', null)",
                values,
            )
    ended = inside("import", "--from-go", "go.yml", "--yes")
    assert ended.code == 1
    assert "there is no 20250705100000.db in its folder (any more)" in ended.err
    assert inside("restore", "aaaaaaaa", "--output", "back.db", "-c", "go.yml").code == 0
    assert (tmp_path / "back.db").read_bytes() == (tmp_path / "app.db").read_bytes()
