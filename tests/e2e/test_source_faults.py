"""Sources that refuse, lie or die: one sentence, a failed record, a report that says so, and nothing left behind."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.world import World, assert_failed
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres


def fake_tool(world: World, script: str, name: str = "pg_dump") -> str:
    """A stand-in for a dump program, which lies as the script says; its folder."""
    folder = world.folder / "tools"
    folder.mkdir(exist_ok=True)
    for tool in (name, "pg_restore", "pg_dumpall"):
        (folder / tool).write_text(
            f'#!/bin/sh\ncase "$*" in *--version*) echo "{tool} (PostgreSQL) 99.0"; exit;; esac\n'
        )
        (folder / tool).chmod(0o755)
    (folder / name).write_text((folder / name).read_text() + script)
    return str(folder)


def postgres_source(postgres: Postgres, **changes: Any) -> dict[str, Any]:
    """A source on the real server."""
    return {
        "provider": "postgres",
        "label": "Shop",
        "host": postgres.host,
        "port": postgres.port,
        "db_name": "postgres",
        "user": postgres.user,
        "password": postgres.password,
    } | changes


def mariadb_source(mariadb: Mariadb, **changes: Any) -> dict[str, Any]:
    """A source on the real server."""
    return {
        "provider": "mariadb",
        "label": "Shop",
        "host": mariadb.host,
        "port": mariadb.port,
        "db_name": "mysql",
        "user": mariadb.user,
        "password": mariadb.password,
    } | changes


@pytest.mark.parametrize("make", [postgres_source, mariadb_source], ids=["postgres", "mariadb"])
def test_a_wrong_password(make: Callable[..., dict[str, Any]], world: World, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres" if make is postgres_source else "mariadb")
    world.config["data_sources"] = [make(server, password="wr0ng-secret")]
    ended = world.run("run")
    assert_failed(world, ended, "password")
    assert "wr0ng-secret" not in ended.out + ended.err


@pytest.mark.parametrize("make", [postgres_source, mariadb_source], ids=["postgres", "mariadb"])
def test_an_unknown_host(make: Callable[..., dict[str, Any]], world: World, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres" if make is postgres_source else "mariadb")
    world.config["data_sources"] = [make(server, host="no-such-host.invalid")]
    assert_failed(world, world.run("run"), "no-such-host.invalid")


def test_a_wrong_password_when_all_databases_are_asked_for(world: World, postgres: Postgres) -> None:
    source = postgres_source(postgres, password="wr0ng-secret", databases="all")
    del source["db_name"]
    world.config["data_sources"] = [source]
    assert_failed(world, world.run("run"), "password")


def test_a_missing_tool(world: World, postgres: Postgres) -> None:
    world.config["data_sources"] = [postgres_source(postgres, tool_path=str(world.folder / "nowhere"))]
    assert_failed(world, world.run("run"), "pg_dump", "install")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", ["empty"]),
        ("echo 'create table x (y int);'; exit 0", ["cut off"]),
        ("echo 'create table x (y int);'; kill -9 $$", ["signal 9"]),
        ("echo 'create table x (y int);'; echo 'disk on fire' >&2; exit 3", ["disk on fire"]),
    ],
    ids=["nothing", "no trailer", "killed", "failed"],
)
def test_a_tool_that_lies_or_dies(script: str, words: list[str], world: World, postgres: Postgres) -> None:
    world.config["data_sources"] = [postgres_source(postgres, tool_path=fake_tool(world, script))]
    assert_failed(world, world.run("run"), *words)


ODD_PASSWORD = "p w'\"$HOME%s\\ ünïcödé#;:@/"


def test_odd_passwords_and_table_names_end_well(world: World, postgres: Postgres, postgres_database: str) -> None:
    role = f"odd_{os.getpid()}"
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute('create table "a "" b\'; drop table x" (id int)')
        connection.execute('insert into "a "" b\'; drop table x" values (7)')
        quoted = ODD_PASSWORD.replace("'", "''")
        connection.execute(f"create role {role} login superuser password '{quoted}'".encode())
    try:
        world.config["data_sources"] = [
            postgres_source(postgres, db_name=postgres_database, user=role, password=ODD_PASSWORD)
        ]
        ended = world.run("run")
        assert ended.code == 0, ended.err
        assert ODD_PASSWORD not in ended.out + ended.err
    finally:
        with postgres.connect(postgres_database, autocommit=True) as connection:
            connection.execute(f"drop role {role}".encode())
