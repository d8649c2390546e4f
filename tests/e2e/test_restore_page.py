"""The commands of docs/restore.md, typed as they stand there, bring back what Backupman has stored."""

import os
import re
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World
from tests.pages import ROOT, Page
from tests.servers import program
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres

PAGE = Page(ROOT / "docs/restore.md")
ROWS = "1|C:\\new\\tmp|😀\n2||\n"
PIPELINES: dict[str, dict[str, Any]] = {
    ".gz": {},
    ".zst": {"compression": {"method": "zstd"}},
    "": {"compression": {"method": "none"}},
    ".gz.age": {"encryption": {}},
    ".zst.age": {"compression": {"method": "zstd"}, "encryption": {}},
    ".age": {"compression": {"method": "none"}, "encryption": {}},
}


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The public key of a fresh age identity, whose secret one is in key.txt."""
    argv = [program("age-keygen", "age"), "-o", str(tmp_path / "key.txt")]
    subprocess.run(argv, check=True, capture_output=True)
    return (tmp_path / "key.txt").read_text().split("public key: ")[1].split()[0]


def block(title: str, start: str) -> str:
    """The one block of commands that begins so, under that heading of the page."""
    found = [block.text for block in Page(PAGE.path).blocks("sh") if block.text.startswith(start)]
    assert [text for text in found if text in PAGE.section(title)], f"{title} has no commands that begin with {start}"
    return next(text for text in found if text in PAGE.section(title))


def unpacking(suffix: str) -> str:
    """What the page's table says `unpack` is for that ending."""
    name = f"`{suffix}`" if suffix else "neither"
    row = re.search(rf"^\| {re.escape(name)} \| `(.+)` \|$", PAGE.text, re.MULTILINE)
    assert row, f"the table has no line for {name}"
    return "unpack() { " + row[1].replace("\\|", "|") + "; }\n"


def back_up(world: World, source: dict[str, Any], suffix: str, key: str) -> list[Path]:
    """Run a backup through the pipeline that makes the suffix; the objects."""
    pipeline = dict(PIPELINES[suffix])
    if "encryption" in pipeline:
        pipeline["encryption"] = {"recipients": [key]}
    world.config |= {"data_sources": [source], "pipeline": pipeline}
    ended = world.run("run")
    assert ended.code == 0, ended.err
    found = [world.drive / name for name in world.objects()]
    assert all(path.name.endswith(suffix) for path in found)
    return found


def type_in(world: World, script: str, env: dict[str, str], *files: Path) -> str:
    """The script in a bash; each line that sets `file` gets the next of the files."""
    names = iter(files)
    script = re.sub(r"^file=.*$", lambda _: f"file='{next(names)}'", script, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-eu"],
        input=block("Restore by hand", "set -o pipefail") + script,
        capture_output=True,
        text=True,
        cwd=world.folder,
        env={"HOME": os.environ["HOME"], "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.service("gzip", "zstd", "age", "sqlite3")
@pytest.mark.parametrize("suffix", PIPELINES)
def test_sqlite(world: World, key: str, suffix: str) -> None:
    (stored,) = back_up(world, world.config["data_sources"][0], suffix, key)
    for ending in ("", "-wal", "-shm"):
        (world.folder / f"app.sqlite{ending}").write_text("broken")
    script = block("1. Find the object", "file=") + block("2. See that it is whole", "grep Sha256")
    script += unpacking(suffix) + block("SQLite", "unpack > restored.sqlite") + block("SQLite", "mkdir -p old")
    said = type_in(world, script, {}, stored)
    [sha256] = re.findall(r'"Sha256": "(\w+)"', said)
    assert f"{sha256}  {stored}" in said
    assert "\nok\nusers\n" in said
    assert sorted(os.listdir(world.folder / "old")) == ["app.sqlite", "app.sqlite-shm", "app.sqlite-wal"]  # noqa: PTH208
    assert not (world.folder / "app.sqlite-wal").exists()
    with closing(sqlite3.connect(world.folder / "app.sqlite")) as database:
        assert database.execute("select name from users order by 1").fetchall() == [("Ada",), ("Grace",)]


@pytest.mark.service("gzip")
def test_a_damaged_object_is_noticed(world: World, key: str) -> None:
    (stored,) = back_up(world, world.config["data_sources"][0], ".gz", key)
    script = block("1. Find the object", "file=") + block("2. See that it is whole", "gzip -t")
    assert type_in(world, script, {}, stored) == "whole\n"
    stored.write_bytes(stored.read_bytes()[:-1])
    assert type_in(world, f"{script.rstrip()} || echo damaged\n", {}, stored) == "damaged\n"


@pytest.fixture
def postgres_env(postgres: Postgres) -> dict[str, str]:
    login = {"PGHOST": postgres.host, "PGPORT": str(postgres.port), "PGUSER": postgres.user}
    return login | {"PGPASSWORD": postgres.password, "PATH": f"{postgres.bin}:{os.environ['PATH']}"}


@pytest.fixture
def shop(postgres: Postgres) -> Any:
    """A database whose table belongs to a role of its own; both are gone after the test, and what was restored."""
    names = ("shop", "shop_restored", "shop_broken")
    postgres.psql("postgres", "CREATE ROLE shop_owner; CREATE DATABASE shop OWNER shop_owner")
    postgres.psql(
        "shop",
        "SET ROLE shop_owner; CREATE SCHEMA s; CREATE TABLE s.orders (id serial PRIMARY KEY, path text, sign text);"
        r"INSERT INTO s.orders (path, sign) VALUES ('C:\new\tmp', '😀'), (NULL, '')",
    )
    yield "shop"
    for name in names:
        postgres.drop_database(name)
    postgres.psql("postgres", "DROP ROLE shop_owner")


def source_of(postgres: Postgres, **settings: Any) -> dict[str, Any]:
    login = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "password": postgres.password}
    return {"provider": "postgres", "label": "pg", **login, **settings}


@pytest.mark.service("gzip", "zstd", "age")
@pytest.mark.parametrize(
    ("settings", "title", "start", "suffix"),
    [
        ({"format": "plain"}, "`.sql`: plain SQL", "createdb", ".gz"),
        ({"format": "custom"}, "`.dump`: custom format", "createdb", ".zst"),
        ({"format": "custom"}, "`.dump`: custom format", "unpack > shop.dump", ".gz.age"),
        ({"format": "directory", "jobs": 2}, "`.tar`: directory format", "mkdir", ".zst.age"),
    ],
)
def test_postgres(
    world: World,
    key: str,
    postgres: Postgres,
    postgres_env: dict[str, str],
    shop: str,
    settings: dict[str, Any],
    title: str,
    start: str,
    suffix: str,
) -> None:
    (stored,) = back_up(world, source_of(postgres, db_name=shop, **settings), suffix, key)
    postgres.psql("shop", "DROP TABLE s.orders")
    script = block("1. Find the object", "file=") + unpacking(suffix) + block(title, start)
    for first in ("psql -d shop_restored", "psql -d postgres"):
        script += block("Look at it, then swap names", first)
    type_in(world, script, postgres_env, stored)
    assert postgres.psql("shop", "SELECT * FROM s.orders ORDER BY id") == ROWS
    assert postgres.psql("shop", "SELECT nextval('s.orders_id_seq')") == "3\n"
    assert postgres.psql("shop", "SELECT tableowner FROM pg_tables WHERE schemaname = 's'") == "shop_owner\n"


def test_postgres_roles(world: World, key: str, postgres: Postgres, postgres_env: dict[str, str], shop: str) -> None:
    postgres.psql("postgres", "ALTER ROLE shop_owner CONNECTION LIMIT 7")
    source = source_of(postgres, databases="all", exclude=["t_*", "postgres", "template*"])
    stored = {path.parent.name.split("-")[0]: path for path in back_up(world, source, ".gz", key)}
    [roles] = [path for name, path in stored.items() if "globals" in name]
    postgres.drop_database("shop")
    postgres.psql("postgres", "DROP ROLE shop_owner")
    script = block("Roles first, on a new server", "file=") + block("1. Find the object", "file=")
    type_in(
        world, script + unpacking(".gz") + block("`.sql`: plain SQL", "createdb"), postgres_env, roles, stored["shop"]
    )
    assert postgres.psql("postgres", "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'shop_owner'") == "7\n"
    assert postgres.psql("shop_restored", "SELECT * FROM s.orders ORDER BY id") == ROWS


def test_postgres_owner_by_hand(postgres: Postgres, postgres_env: dict[str, str], world: World) -> None:
    type_in(world, block("Roles first, on a new server", "createuser"), postgres_env)
    postgres.psql("postgres", "DROP ROLE shop_owner")


@pytest.fixture
def mariadb_env(mariadb: Mariadb, world: World) -> Any:
    """An administrator whose login stands in ~/.my.cnf."""
    with mariadb.connect() as connection, connection.cursor() as cursor:
        # The server's own installation makes it, and skip_name_resolve makes it one that no tool can dump.
        cursor.execute("DROP USER IF EXISTS root@%s", (socket.gethostname().lower(),))
        cursor.execute("CREATE USER admin@'%' IDENTIFIED BY 'simple'")
        cursor.execute("GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION")
        cursor.execute("CREATE USER app@'%' IDENTIFIED BY 'app'")
        login = f"[client]\nhost={mariadb.host}\nport={mariadb.port}\nuser=admin\npassword=simple\n"
        (Path(os.environ["HOME"]) / ".my.cnf").write_text(login)
        yield {}
        cursor.execute("DROP USER IF EXISTS admin@'%', app@'%'")


@pytest.fixture
def blog(mariadb: Mariadb) -> Any:
    mariadb.create_database("blog")
    mariadb.client(
        "blog",
        "CREATE TABLE posts (id int AUTO_INCREMENT PRIMARY KEY, path text, sign text, n int AS (id * 2));"
        r"INSERT INTO posts (path, sign) VALUES ('C:\\new\\tmp', '😀'), (NULL, '');"
        "CREATE VIEW signs AS SELECT sign FROM posts; CREATE FUNCTION seven() RETURNS int DETERMINISTIC RETURN 7;",
    )
    yield "blog"
    for name in ("blog", "blog_restored"):
        mariadb.drop_database(name)


@pytest.mark.service("zstd", "age")
def test_mariadb(world: World, key: str, mariadb: Mariadb, mariadb_env: dict[str, str], blog: str) -> None:
    login = {"host": mariadb.host, "port": mariadb.port, "user": "admin", "password": "simple"}
    source = {"provider": "mariadb", "label": "my", **login, "databases": "all", "exclude": ["t_*"]}
    stored = {path.parent.name.split("-")[0]: path for path in back_up(world, source, ".gz", key)}
    [accounts] = [path for name, path in stored.items() if "globals" in name]
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP USER app@'%'")
    script = block("Accounts first, on a new server", "file=") + block("1. Find the object", "file=") + unpacking(".gz")
    script += block("One database", "mariadb -e")
    for first in ("mariadb -e 'SHOW", "mariadb -e 'DROP"):
        script += block("Look at it, then put it in place", first)
    said = type_in(world, script, mariadb_env, accounts, stored["blog"])
    assert "posts" in said
    for name in ("blog", "blog_restored"):
        assert mariadb.client(name, "SELECT * FROM posts ORDER BY id") == "1\tC:\\\\new\\\\tmp\t😀\t2\n2\tNULL\t\t4\n"
        assert mariadb.client(name, "SELECT count(*), seven() FROM signs") == "2\t7\n"
    assert mariadb.client("mysql", "SELECT count(*) FROM user WHERE User = 'app'") == "1\n"
