"""What was dumped comes back: through the real command, into real servers, from a folder and from a bucket."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_restore import new_key
from tests.e2e.world import World
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.servers.s3 import S3

CONTENT = {
    "postgres": (
        "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('fine', 'so so');"
        "CREATE TABLE s.orders (id serial PRIMARY KEY, path text, mood s.mood, at timestamptz, raw bytea, n numeric);"
        r"INSERT INTO s.orders (path, mood, at, raw, n) SELECT 'C:\new\tmp\' || i || '😀', 'fine', "
        "'2026-11-21 09:30:00.123456+01', decode('00ff5c27', 'hex'), 1.50 FROM generate_series(1, 5000) i;"
        "CREATE VIEW s.last AS SELECT max(id) FROM s.orders; CREATE UNIQUE INDEX late ON s.orders (id) WHERE id > 9"
    ),
    "mariadb": (
        "CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, path text, raw blob, at timestamp(6), n int AS (id));"
        r"INSERT INTO orders (path, raw, at) SELECT CONCAT('C:\\new\\tmp\\', seq, '😀'), x'00ff5c27', "
        "'2026-11-21 09:30:00.123456' FROM seq_1_to_5000;"
        "CREATE VIEW last AS SELECT max(id) FROM orders; CREATE FUNCTION seven() RETURNS int DETERMINISTIC RETURN 7"
    ),
}
LOOK = {
    "postgres": "SELECT *, nextval('s.orders_id_seq') > 5000, (SELECT * FROM s.last) FROM s.orders ORDER BY id",
    "mariadb": "SELECT id, path, hex(raw), at, n, seven(), (SELECT * FROM last) FROM orders ORDER BY id",
}


@pytest.fixture
def bucket_drive(s3: S3, bucket: str) -> dict[str, Any]:
    """A drive in a bucket."""
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    return {"provider": "s3", "label": "Cloud", "bucket": bucket, "region": s3.region, "endpoint": s3.endpoint} | keys


def login(server: Postgres | Mariadb) -> dict[str, Any]:
    """The settings of a source on the server."""
    return {"host": server.host, "port": server.port, "user": server.user, "password": server.password}


def come_back(world: World, encrypted: bool, *words: str) -> None:
    """Make a backup, and restore it with those words; the records and the message say so."""
    if encrypted:
        world.config["pipeline"] = {"encryption": {"recipients": [new_key(world.folder / "key.txt")]}}
    assert world.run("run").code == 0
    identity = ["--identity", "key.txt"] if encrypted else []
    ended = world.run("restore", "latest", *words, *identity)
    assert ended.code == 0, ended.err
    assert "restored into" in ended.err
    assert world.spool == []


@pytest.fixture
def shop(postgres: Postgres) -> Iterator[str]:
    """A database with everything that is easily lost; it and what was restored of it are gone after the test."""
    name = postgres.create_database()
    postgres.psql(name, CONTENT["postgres"])
    yield name
    for each in (name, f"{name}_back"):
        postgres.drop_database(each)


@pytest.mark.service("age")
@pytest.mark.parametrize(
    ("settings", "encrypted", "cloud", "more"),
    [
        ({"format": "plain"}, True, True, ()),
        ({"format": "custom"}, False, True, ("--jobs", "2")),
        ({"format": "directory", "jobs": 2}, True, False, ("--jobs", "2")),
    ],
    ids=["plain", "custom", "directory"],
)
def test_postgres(
    world: World,
    postgres: Postgres,
    bucket_drive: dict[str, Any],
    shop: str,
    settings: dict[str, Any],
    encrypted: bool,
    cloud: bool,
    more: tuple[str, ...],
) -> None:
    world.config["data_sources"] = [
        {"provider": "postgres", "label": "pg", "db_name": shop} | login(postgres) | settings
    ]
    if cloud:
        world.config["drives"] = [bucket_drive]
    come_back(world, encrypted, "--to-database", f"{shop}_back", *more)
    assert postgres.psql(f"{shop}_back", LOOK["postgres"]) == postgres.psql(shop, LOOK["postgres"])
    index = "SELECT indexdef FROM pg_indexes WHERE schemaname = 's' ORDER BY 1"
    assert postgres.psql(f"{shop}_back", index) == postgres.psql(shop, index)


@pytest.mark.service("age")
def test_mariadb(world: World, mariadb: Mariadb, mariadb_database: str, bucket_drive: dict[str, Any]) -> None:
    mariadb.client(mariadb_database, CONTENT["mariadb"])
    back = f"{mariadb_database}_back"
    source = {"provider": "mariadb", "label": "my", "db_name": mariadb_database} | login(mariadb)
    world.config |= {"data_sources": [source], "drives": [bucket_drive]}
    try:
        come_back(world, True, "--to-database", back)
        assert mariadb.client(back, LOOK["mariadb"]) == mariadb.client(mariadb_database, LOOK["mariadb"])
    finally:
        mariadb.drop_database(back)


@pytest.mark.service("age")
def test_sqlite(world: World, bucket_drive: dict[str, Any]) -> None:
    world.config["drives"] = [bucket_drive]
    come_back(world, True, "--to-database", "back")
    [back] = world.folder.glob("back*")
    with closing(sqlite3.connect(back)) as database:
        assert database.execute("select name from users order by 1").fetchall() == [("Ada",), ("Grace",)]


def test_a_url_with_a_password_from_the_environment(world: World, postgres: Postgres, shop: str) -> None:
    source = {"provider": "postgres", "label": "pg", "db_name": shop} | login(postgres)
    world.config["data_sources"] = [source]
    world.env["BACKUPMAN_RESTORE_PASSWORD"] = postgres.password
    url = f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/{shop}_back"
    come_back(world, False, "--url", url)
    assert postgres.psql(f"{shop}_back", LOOK["postgres"]) == postgres.psql(shop, LOOK["postgres"])
    everything = b"".join(path.read_bytes() for path in Path(world.folder / "state").rglob("*") if path.is_file())
    if postgres.password:
        assert postgres.password.encode() not in everything
