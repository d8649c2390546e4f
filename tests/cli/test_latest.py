"""`latest` is the newest of the sources of the config, where several configs share their records."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Inside


@pytest.fixture
def made(tmp_path: Path, config: dict[str, Any], inside: Inside) -> dict[str, str]:
    """A backup of App, and a newer one of Wiki by another config with the same records; their ids."""
    config["spool"] = {"min_free": "1MiB"}
    for label in ("app", "wiki"):
        with closing(sqlite3.connect(tmp_path / f"{label}.db")) as database, database:
            database.execute("create table t (a)")
            database.execute("insert into t values (1)")
        config["data_sources"][0] |= {"label": label.title(), "db_path": f"{label}.db"}
        (tmp_path / f"{label}.yml").write_text(yaml.safe_dump(config))
        assert inside("run", "-q", "-c", f"{label}.yml").code == 0
    found = inside("list", "--json", "-c", "app.yml").json["Results"]
    return {each["Label"]: each["Id"] for each in found}


@pytest.mark.parametrize("label", ["App", "Wiki"])
def test_it_is_of_the_config_s_own_sources(made: dict[str, str], label: str, inside: Inside, tmp_path: Path) -> None:
    used, other = ("-c", f"{label.lower()}.yml"), "Wiki" if label == "App" else "App"
    assert inside("show", "latest", "--json", *used).json["Id"] == made[label]
    assert {each["Label"] for each in inside("verify", "latest", "--json", *used).json["Results"]} == {label}
    events = inside("events", "list", "--backup", "latest", "--json", *used).json["Results"]
    assert {each["BackupId"] for each in events} == {made[label]}
    assert f"of {label} is kept" in inside("pin", "latest", *used).out
    assert f"of {label} is kept" in inside("unpin", "latest", *used).out
    assert f"of {label} has finished: there is nothing to retry" in inside("retry", "latest", *used).err
    assert f"This deletes the backup of {label}" in inside("delete", "latest", "--force", *used).err
    assert f"{label}: backup" in inside("restore", "latest", "--output", "back", *used).err
    assert f"restored into {tmp_path}/new.db" in inside("restore", "latest", "--to-database", "./new.db", *used).err
    assert inside("restores", "--json", *used).json["Results"][0]["Label"] == label
    assert inside("show", made[other], *used).code == 0, "by its id each is found"


def test_what_has_left_the_config_is_restored_by_its_name(made: dict[str, str], inside: Inside, tmp_path: Path) -> None:
    ended = inside("restore", "latest", "--source", "Wiki", "--output", "back", "-c", "app.yml")
    assert (ended.code, f"Wiki: backup {made['Wiki'][:8]}" in ended.err) == (0, True)
    left = yaml.safe_load((tmp_path / "app.yml").read_text())
    left["data_sources"][0]["label"] = "Renamed"
    (tmp_path / "left.yml").write_text(yaml.safe_dump(left))
    for command in ("show", "restore"):
        ended = inside(command, "latest", "-c", "left.yml")
        assert ended.code == 2
        assert "of a source of this config" in ended.err
        assert "`backupman list -c left.yml`" in ended.err
    ended = inside("restore", "latest", "--source", "App", "--to-source", "Renamed", "-c", "left.yml")
    assert ended.code == 0, ended.err


def test_it_is_found_behind_many_of_others(
    made: dict[str, str], inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backupman.engine.restores._LOOKED_AT", 1)
    ended = inside("restore", "latest", "--output", "back", "-c", "app.yml")
    assert (ended.code, f"App: backup {made['App'][:8]}" in ended.err) == (0, True)
    assert json.loads(inside("show", "latest", "--json", "-c", "app.yml").out)["Id"] == made["App"]


def test_of_several_databases_of_a_source_the_one_to_restore_is_named(
    tmp_path: Path, config: dict[str, Any], inside: Inside
) -> None:
    used = ("-c", "shop.yml")
    config["spool"] = {"min_free": "1MiB"}
    for name in ("orders", "users"):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as database, database:
            database.execute(f"create table {name} (a)")
        config["data_sources"][0] |= {"label": "the shop", "db_path": f"{name}.db"}
        (tmp_path / "shop.yml").write_text(yaml.safe_dump(config))
        assert inside("run", "-q", *used).code == 0
    names = sorted({each["Database"] for each in inside("list", "--json", *used).json["Results"]})
    assert len(names) == 2
    for asked in ((), ("--source", "the shop")):
        ended = inside("restore", "latest", *asked, "--output", "back", *used)
        assert ended.code == 2
        assert f"the shop has several databases on record ({names[0]} and {names[1]})" in ended.err
        assert "by --source 'the shop' --database NAME" in ended.err
    for name in names:
        chosen = ("--source", "the shop", "--database", name)
        ended = inside("restore", "latest", *chosen, "--output", f"{name}.back", *used)
        assert ended.code == 0, ended.err
