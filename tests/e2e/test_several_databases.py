"""A source of several databases: they are dumped side by side, as far as `max_parallel` goes."""

from typing import Any

import pytest

from tests.e2e.test_source_faults import fake_tool, postgres_source
from tests.e2e.world import World
from tests.servers.postgres import Postgres

DATABASES = ["postgres", "template1"]

_NOTED = """
echo "begin $$" >> {notes}
{meanwhile}
echo "-- PostgreSQL database dump complete"
echo "end $$" >> {notes}
"""

_UNTIL_BOTH = """
tries=0
until [ "$(grep -c begin {notes})" = 2 ]; do
    sleep 0.1
    tries=$((tries + 1))
    [ $tries -lt 900 ] || exit 9
done
"""
"""Waits for the other dump, which never begins where one comes after the other."""


@pytest.fixture
def several(world: World, postgres: Postgres) -> dict[str, Any]:
    source = postgres_source(postgres, databases=DATABASES)
    del source["db_name"]
    world.config["data_sources"] = [source]
    return source


def noted(world: World, meanwhile: str = "") -> str:
    notes = world.folder / "notes"
    script = _NOTED.replace("{meanwhile}", meanwhile).replace("{notes}", str(notes))
    return fake_tool(world, script)


def test_several_databases_of_one_server_are_dumped_at_once(world: World, several: dict[str, Any]) -> None:
    several["tool_path"] = noted(world, _UNTIL_BOTH)
    ended = world.run("run", "--json")
    assert ended.code == 0, ended.err
    results = ended.json["Results"]
    assert [(backup["Database"], backup["Status"]) for backup in results] == [(name, "finished") for name in DATABASES]


def test_one_at_a_time_where_the_config_says_so(world: World, several: dict[str, Any]) -> None:
    several["tool_path"] = noted(world)
    world.config["max_parallel"] = 1
    ended = world.run("run")
    assert ended.code == 0, ended.err
    kinds = [line.split()[0] for line in (world.folder / "notes").read_text().splitlines()]
    assert kinds == ["begin", "end"] * len(DATABASES)


def test_one_that_fails_stops_none_beside_it(world: World, several: dict[str, Any]) -> None:
    several["tool_path"] = noted(world, 'case "$*" in *template1*) exit 9;; esac')
    assert world.run("run").code == 1
    assert {backup["Database"]: backup["Status"] for backup in world.backups()} == {
        "postgres": "finished",
        "template1": "failed",
    }
