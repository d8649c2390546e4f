"""`init`: a config that passes the check, for its owner alone, from flags or from answers; never over another one."""

import stat
from pathlib import Path
from typing import Any

import pytest

from backupman.config import load
from tests.cli.conftest import Inside
from tests.cli.terminal import Terminal

SQLITE = ("--source", "sqlite", "--db-path", "app.db", "--drive", "local", "--folder", "backups")


def test_from_flags(inside: Inside, tmp_path: Path) -> None:
    ended = inside("init", *SQLITE, "--label", "Notes", "--keep-days", "30")
    assert (ended.code, ended.err) == (0, "")
    assert stat.S_IMODE((tmp_path / "config.yml").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]
    loaded = load(tmp_path / "config.yml")
    (source,), (drive,) = loaded.config.data_sources, loaded.config.drives
    assert (source.label, source.provider, drive.provider) == ("Notes", "sqlite", "local")
    assert f"folder: {tmp_path / 'backups'}" in (tmp_path / "config.yml").read_text()
    assert f"db_path: {tmp_path / 'app.db'}" in (tmp_path / "config.yml").read_text()
    assert loaded.config.retention is not None
    assert loaded.config.retention.value == 30
    assert inside("config", "check").code == 0
    assert "backupman run" in ended.out


def test_what_it_wrote_makes_a_backup(inside: Inside, tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "app.db") as database:
        database.execute("create table t (x)")
    database.close()
    inside("init", *SQLITE)
    assert inside("run").code == 0
    assert list((tmp_path / "backups/sqlite").glob("backup-*.sqlite.gz"))


def test_it_goes_where_the_config_is_looked_for(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside("init", *SQLITE, "-c", "here.yml")
    monkeypatch.setenv("BACKUPMAN_CONFIG", str(tmp_path / "there.yml"))
    inside("init", *SQLITE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.yml", "there.yml"]


def test_another_config_is_never_overwritten(config: dict[str, Any], inside: Inside, tmp_path: Path) -> None:
    before = (tmp_path / "config.yml").read_text()
    ended = inside("init", *SQLITE)
    assert ended.code == 2
    assert "--force" in ended.err
    assert (tmp_path / "config.yml").read_text() == before
    assert inside("init", *SQLITE, "--force").code == 0
    assert (tmp_path / "config.yml").read_text() != before
    assert stat.S_IMODE((tmp_path / "config.yml").stat().st_mode) == 0o600


SERVER = ("--user", "backup", "--password-env", "DB_PASSWORD")


@pytest.mark.parametrize("kind", ["postgres", "mysql", "mariadb"])
def test_a_server_with_all_its_databases(
    kind: str, inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    assert inside("init", "--source", kind, *SERVER, "--drive", "local", "--folder", "backups").code == 0
    text = (tmp_path / "config.yml").read_text()
    assert "${DB_PASSWORD}" in text
    assert "s3cret" not in text
    (source,) = load(tmp_path / "config.yml").config.data_sources
    assert source.provider == kind
    assert source.many


def test_one_database_an_s3_drive_and_a_webhook(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    for name in ("KEY", "SECRET", "TOKEN"):
        monkeypatch.setenv(name, name.lower())
    words = ["init", "--source", "postgres", "--db-name", "shop", "--port", "5433", "--password-file", "password"]
    words += ["--drive", "s3", "--bucket", "b", "--access-key-env", "KEY", "--secret-key-env", "SECRET"]
    words += ["--webhook", "https://ops.example.com/hook", "--webhook-token-env", "TOKEN"]
    assert inside(*words).code == 0
    config = load(tmp_path / "config.yml").config
    settings = [config.data_sources[0].revealed(), config.drives[0].revealed()]
    assert (settings[0]["password"], settings[0]["port"], settings[0]["db_name"]) == ("s3cret", 5433, "shop")
    assert (settings[1]["access_key"], settings[1]["secret_key"]) == ("key", "secret")
    (endpoint,) = config.all_notifiers()[0].endpoints()
    assert endpoint.name == "webhook/default"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--source"),
        (["--source", "sqlite"], "--db-path"),
        (["--source", "sqlite", "--db-path", "x", "--drive", "local"], "--folder"),
        (["--source", "postgres", *SERVER, "--password-file", "x"], "name one"),
        (["--source", "postgres", *SERVER, "--drive", "local", "--folder", "x"], "DB_PASSWORD is not set"),
        ([*SQLITE, "-c", "no/such/folder/config.yml"], "cannot be written: make the folder no/such/folder first"),
        (
            ["--source", "postgres", "--password-env", "my-pw"],
            "--password-env: that is no name of an environment",
        ),
        (["--drive", "s3", "--secret-key-env", "se cret"], "--secret-key-env: that is no name"),
        ([*SQLITE, "--webhook", "ftp://x"], "http://"),
    ],
    ids=str,
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_written(
    words: list[str], said: str, inside: Inside, tmp_path: Path
) -> None:
    ended = inside("init", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ".config.yml." not in ended.err, "the name of the draft means nothing to anybody"
    assert list(tmp_path.iterdir()) == []


ODD = "p w'\"`$HOME ${NOT} %s: #[{&*!|>\\ ß€\U0001f600"


def test_answers_on_a_terminal(tmp_path: Path) -> None:
    with Terminal("init", cwd=tmp_path) as terminal:
        for question, answer in {
            "Kind of database": "oracle",
            "One of sqlite": "postgres",
            "A name for it": "Main: #1",
            "Host": "",
            "Port": "",
            "Account": "",
            "Its password": ODD,
            "Database to back up": "shop",
            "Where to keep": "",
            "Folder": "back ups",
            "Webhook": "",
        }.items():
            terminal.read_until(question)
            if answer == ODD:
                terminal.wait_until_hidden()
            terminal.type(answer + "\n")
        assert terminal.end() == 0
    assert ODD not in terminal.text, "a secret is not shown"
    config = load(tmp_path / "config.yml").config
    settings = config.data_sources[0].revealed()
    assert (settings["label"], settings["password"], settings["db_name"]) == ("Main: #1", ODD, "shop")
    assert config.drives[0].revealed()["folder"] == str(tmp_path / "back ups")
