"""The grants of docs/grants.md, run as they stand there: the account dumps, and the doctor has nothing to ask for."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.world import World
from tests.pages import ROOT, Block, Page
from tests.servers.mariadb import Mariadb
from tests.servers.mysql import Mysql
from tests.servers.postgres import Postgres

PAGE = Page(ROOT / "docs/grants.md")
LEFT_OUT = ["t_*", "postgres", "template*", "test"]
"""Databases of other tests on the same server."""
OF_OTHERS = "which no source names"
"""What the doctor says of them where a source names its one database, whatever the account may do."""


def under(title: str, which: str, kind: str) -> str:
    """The block of that kind below the heading `which`, in the part `title` of the page."""
    part = PAGE.section(title)
    found: list[Block] = [block for block in PAGE.blocks(kind) if block.text in part]
    return next(block.text for block in found if block.text in part.split(f"### {which}\n")[1].split("\n### ")[0])


def source(text: str, host: str, port: int) -> dict[str, Any]:
    """The source of a config block, with a server that is there."""
    (entry,) = yaml.safe_load(text)["data_sources"]
    assert {"user": "backup", "host": "db.example.com"}.items() <= entry.items()
    return {**entry, "host": host, "port": port, "password": "change-me"}


def dump(world: World, source: dict[str, Any]) -> list[str]:
    """Back the source up, ask the doctor, and give the databases that were dumped."""
    world.config["data_sources"] = [source]
    ended = world.run("run")
    assert ended.code == 0, ended.err
    found = world.run("doctor", "--json").json["Findings"]
    asked_for = [each["Sentence"] for each in found if each["Area"] == "sources" and each["Severity"] != "good"]
    assert [sentence for sentence in asked_for if OF_OTHERS not in sentence] == []
    return [backup["Database"] for backup in world.backups()]


@pytest.fixture
def shop(postgres: Postgres) -> Iterator[Postgres]:
    """A database with what needs rights of its own; it goes with the account of the page."""
    postgres.psql("postgres", "CREATE DATABASE shop")
    beside = postgres.create_database()
    postgres.psql(
        "shop", "CREATE TABLE orders (id serial PRIMARY KEY); CREATE VIEW newest AS SELECT max(id) FROM orders"
    )
    yield postgres
    postgres.drop_database(beside)
    postgres.drop_database("shop")
    postgres.psql("postgres", "DROP OWNED BY backup; DROP ROLE backup")


@pytest.mark.service("postgres")
def test_one_postgres_database(world: World, shop: Postgres) -> None:
    shop.psql("shop", under("PostgreSQL", "One database", "sql"))
    shop.psql("shop", "CREATE TABLE later (id serial PRIMARY KEY)")
    assert dump(world, source(under("PostgreSQL", "One database", "yaml"), shop.host, shop.port)) == ["shop"]


@pytest.mark.service("postgres")
def test_a_whole_postgres_server(world: World, shop: Postgres) -> None:
    shop.psql("postgres", under("PostgreSQL", "The whole server", "sql"))
    whole = source(under("PostgreSQL", "The whole server", "yaml"), shop.host, shop.port)
    assert {"shop", "_globals"} <= {*dump(world, whole | {"exclude": LEFT_OUT})}


@pytest.fixture
def blog(mariadb: Mariadb) -> Iterator[Mariadb]:
    yield from filled(mariadb)


@pytest.fixture
def forum(mysql: Mysql) -> Iterator[Mariadb]:
    yield from filled(mysql)


def filled(server: Mariadb) -> Iterator[Mariadb]:
    """A database with one of everything that hides from weak accounts; it goes with the account of the page."""
    server.client("mysql", "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id int PRIMARY KEY)")
    server.client(
        "shop",
        "CREATE VIEW newest AS SELECT max(id) FROM orders;"
        "CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW SET NEW.id = NEW.id;"
        "CREATE PROCEDURE tidy() DELETE FROM orders;"
        "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders",
    )
    yield server
    server.drop_database("shop")
    server.client("mysql", "DROP USER backup@'%'")


@pytest.mark.service("mariadb")
def test_one_mariadb_database(world: World, blog: Mariadb) -> None:
    blog.client("mysql", under("MariaDB", "One database", "sql"))
    assert dump(world, source(under("MariaDB", "One database", "yaml"), blog.host, blog.port)) == ["shop"]


@pytest.mark.service("mariadb")
def test_a_whole_mariadb_server(world: World, blog: Mariadb) -> None:
    blog.client("mysql", under("MariaDB", "The whole server", "sql"))
    whole = source(under("MariaDB", "The whole server", "yaml"), blog.host, blog.port)
    assert {"shop", "_globals"} <= {*dump(world, whole | {"exclude": LEFT_OUT})}


def on_mysql(server: Mariadb, **databases: object) -> dict[str, Any]:
    login = {"host": server.host, "port": server.port, "user": "backup", "password": "change-me"}
    assert isinstance(server, Mysql)
    return {"provider": "mysql", "label": "Forum", "tool_path": str(server.programs), **login, **databases}


MYSQL = next(block.text for block in PAGE.blocks("sql") if block.text in PAGE.section("MySQL"))


@pytest.mark.service("mysql")
def test_one_mysql_database(world: World, forum: Mariadb) -> None:
    forum.client("mysql", MYSQL)
    assert dump(world, on_mysql(forum, db_name="shop")) == ["shop"]


@pytest.mark.service("mysql")
def test_a_whole_mysql_server(world: World, forum: Mariadb) -> None:
    """With the second line on everything, as the page says."""
    line = "SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.*"
    assert line in MYSQL
    forum.client("mysql", MYSQL.replace(line, "SELECT, SHOW VIEW, TRIGGER, EVENT, SHOW DATABASES ON *.*"))
    assert {"shop", "_globals"} <= {*dump(world, on_mysql(forum, databases="all", exclude=LEFT_OUT))}
