"""Who has nothing but a drive does exactly what RESTORE.txt says, with plain programs, and has the rows again."""

import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_restore_page import back_up, key, postgres_env, source_of
from tests.e2e.world import World
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres

__all__ = ["key", "postgres_env"]


def steps(stored: Path) -> list[str]:
    """The commands of each numbered step of the page beside an object, as they stand there; those that fit its name."""
    text = (stored.parent / "RESTORE.txt").read_text()
    found = [
        "\n".join(re.findall(r"^    (\S.*)$", part, re.MULTILINE)) for part in re.split(r"^\d\. ", text, flags=re.M)[1:]
    ]
    whole, encrypted, compressed, restore = found
    decrypt, copy = encrypted.splitlines()
    gunzip, unzstd = compressed.splitlines()
    ending = stored.name.removesuffix(".age")
    chosen = [whole, decrypt if stored.name.endswith(".age") else copy]
    chosen += [gunzip] if ending.endswith(".gz") else [unzstd] if ending.endswith(".zst") else []
    return [*chosen, restore]


def follow(stored: Path, folder: Path, env: dict[str, str], **names: str) -> str:
    """Type the commands in a folder of their own; what they print."""
    script = "\n".join(steps(stored)).replace("BACKUP", str(stored)).replace("DUMP", "it")
    for name, value in names.items():
        script = re.sub(rf"\b{name}\b", value, script)
    done = subprocess.run(
        ["bash", "-eu"],
        input=script,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.service("gzip", "zstd", "age", "sqlite3")
@pytest.mark.parametrize("suffix", [".zst.age", ".gz", ""])
def test_sqlite(world: World, key: str, suffix: str) -> None:
    (stored,) = back_up(world, world.config["data_sources"][0], suffix, key)
    said = follow(stored, world.folder, {})
    [sha256] = re.findall(r'"Sha256": "(\w+)"', said)
    assert f"{sha256}  {stored}" in said
    with closing(sqlite3.connect(world.folder / "it")) as database:
        assert database.execute("select name from users order by 1").fetchall() == [("Ada",), ("Grace",)]


@pytest.mark.service("gzip", "zstd", "age")
@pytest.mark.parametrize(
    ("form", "suffix"),
    [("plain", ".gz"), ("custom", ".zst"), ("directory", ".gz.age")],
    ids=["plain", "custom", "directory"],
)
def test_postgres(
    world: World, key: str, postgres: Postgres, postgres_env: dict[str, str], form: str, suffix: str
) -> None:
    postgres.psql("postgres", "CREATE DATABASE txt")
    try:
        postgres.psql("txt", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'ß')")
        (stored,) = back_up(world, source_of(postgres, db_name="txt", format=form), suffix, key)
        follow(stored, world.folder, postgres_env, restored="txt_restored")
        if form == "plain":  # what psql does not know that is older than August 2025
            lines, left = ((world.folder / name).read_text().splitlines() for name in ("it", "it.sql"))
            assert [line.split()[0] for line in lines if line not in left] == ["\\restrict", "\\unrestrict"]
            assert len(left) == len(lines) - 2
        assert postgres.psql("txt_restored", "SELECT id, v FROM t").strip() == "1|ß"
    finally:
        for name in ("txt", "txt_restored"):
            postgres.drop_database(name)


@pytest.mark.service("gzip")
def test_mariadb(world: World, key: str, mariadb: Mariadb, mariadb_database: str) -> None:
    login: dict[str, Any] = {"host": mariadb.host, "port": mariadb.port, "user": "txt", "password": "simple"}
    mariadb.client(mariadb_database, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'ß')")
    mariadb.client("mysql", "CREATE USER txt@'%' IDENTIFIED BY 'simple'; GRANT ALL ON *.* TO txt@'%'")
    source = {"provider": "mariadb", "label": "blog", **login, "db_name": mariadb_database}
    settings = "".join(f"{name}={value}\n" for name, value in login.items())
    (world.folder / ".my.cnf").write_text(f"[client]\n{settings}")
    try:
        (stored,) = back_up(world, source, ".gz", key)
        follow(stored, world.folder, {}, restored="txt_restored")
        assert mariadb.client("txt_restored", "SELECT id, v FROM t").strip() == "1\tß"
    finally:
        mariadb.drop_database("txt_restored")
        mariadb.client("mysql", "DROP USER txt@'%'")
