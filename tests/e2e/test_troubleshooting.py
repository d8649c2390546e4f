"""What goes wrong most often, done for real: each sentence that the program says then is explained by the page."""

from typing import Any

import pytest

from tests.e2e.world import World
from tests.servers._process import free_port
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.test_sentences import EXPLAINED, pattern


def must_be_explained(text: str) -> None:
    """Some row of docs/troubleshooting.md is about the text."""
    assert [sentence for sentence in EXPLAINED if pattern(sentence).search(text)], f"the page does not explain: {text}"


def fails(world: World, *words: str, code: int = 1) -> None:
    ended = world.run(*words)
    assert ended.code == code, ended.err
    must_be_explained(ended.err + ended.out)


def test_a_key_that_is_mistyped(world: World) -> None:
    world.config["drivez"] = []
    fails(world, "config", "check", code=2)


def test_a_variable_that_is_not_set(world: World) -> None:
    world.config["instance"] = "${NOBODY_HAS_SET_THIS}"
    fails(world, "config", "check", code=2)


def test_a_label_that_is_there_twice(world: World) -> None:
    world.config["drives"] *= 2
    fails(world, "config", "check", code=2)


def test_a_file_that_is_elsewhere(world: World) -> None:
    world.config["data_sources"][0]["db_path"] = "elsewhere.sqlite"
    fails(world, "run")


def test_a_disk_that_is_unplugged(world: World) -> None:
    world.config["drives"][0]["mount"] = str(world.folder / "drive")
    (world.folder / "drive").mkdir(exist_ok=True)
    fails(world, "run")


def test_a_backup_that_nobody_knows(world: World) -> None:
    fails(world, "show", "1a2b3c4d", code=2)


def of(server: Postgres | Mariadb, **settings: Any) -> dict[str, Any]:
    return {
        "label": "db",
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": "wrong",
        **settings,
    }


@pytest.mark.service("postgres")
def test_a_wrong_password_and_a_server_that_is_not_there(world: World, postgres: Postgres) -> None:
    world.config["data_sources"] = [of(postgres, provider="postgres", db_name="postgres")]
    fails(world, "run")
    world.config["data_sources"] = [of(postgres, provider="postgres", db_name="postgres", port=free_port())]
    fails(world, "run")


@pytest.mark.service("mariadb")
def test_the_same_with_mariadb(world: World, mariadb: Mariadb) -> None:
    world.config["data_sources"] = [of(mariadb, provider="mariadb", db_name="mysql")]
    fails(world, "run")
    world.config["data_sources"] = [of(mariadb, provider="mariadb", db_name="mysql", port=free_port())]
    fails(world, "run")
