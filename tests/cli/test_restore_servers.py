"""`backupman restore` into servers: names, replacements, roles, tables, and servers that refuse or go away."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Inside
from tests.cli.test_restore_into import flip, records, refused, told
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres

COUNT = "SELECT count(*) FROM t"


class Shop:
    """A database of a PostgreSQL server with a backup in the custom format."""

    def __init__(self, server: Postgres, folder: Path, config: dict[str, Any], inside: Inside) -> None:
        self.server = server
        self.name = server.create_database()
        self.folder = folder
        self.config = config
        self.inside = inside
        server.psql(self.name, "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i; CREATE TABLE u (n int)")
        self.login = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
        config["data_sources"] = [{"provider": "postgres", "label": "pg", "db_name": self.name, "format": "custom"}]
        config["data_sources"][0] |= self.login
        config["spool"] = {"min_free": "1MiB"}
        self.back_up()

    def back_up(self) -> None:
        """Make a backup with the config as it is."""
        (self.folder / "config.yml").write_text(yaml.safe_dump(self.config))
        ended = self.inside("run", "-q")
        assert ended.code == 0, ended.err

    def databases(self) -> list[str]:
        """Every database whose name begins with this one's."""
        listed = self.server.psql("postgres", f"SELECT datname FROM pg_database WHERE datname LIKE '{self.name}%'")
        return sorted(listed.split())


@pytest.fixture
def shop(tmp_path: Path, postgres: Postgres, config: dict[str, Any], inside: Inside) -> Iterator[Shop]:
    made = Shop(postgres, tmp_path, config, inside)
    yield made
    for name in made.databases():
        postgres.drop_database(name)


def test_a_new_name_a_refusal_a_replacement_and_a_table(shop: Shop) -> None:
    ended = shop.inside("restore", "latest")
    assert ended.code == 0, ended.err
    [new] = [name for name in shop.databases() if name.startswith(f"{shop.name}_restored_")]
    assert shop.server.psql(new, COUNT) == "1000\n"
    assert f"restored into {new} on pg" in ended.err
    assert list((shop.folder / "state/spool").iterdir()) == []

    refused(shop.inside("restore", "latest", "--to-database", new), f"{new} is there already", code=1)
    assert shop.server.psql(new, COUNT) == "1000\n"

    shop.server.psql(shop.name, "DELETE FROM t; INSERT INTO u VALUES (7)")
    ended = shop.inside("restore", "latest", "--clean")
    refused(ended, f"this replaces the database {shop.name} on pg: say --yes", code=2)
    ended = shop.inside("restore", "latest", "--clean", "--yes")
    assert ended.code == 0, ended.err
    assert shop.server.psql(shop.name, COUNT) == "1000\n"
    assert shop.server.psql(shop.name, "SELECT count(*) FROM u") == "0\n"

    ended = shop.inside("restore", "latest", "--to-database", f"{shop.name}_t", "--table", "t")
    assert ended.code == 0, ended.err
    listed = shop.server.psql(f"{shop.name}_t", "SELECT relname FROM pg_stat_user_tables")
    assert listed.split() == ["t"]


def test_what_is_damaged_replaces_nothing_and_leaves_nothing(shop: Shop) -> None:
    [stored] = shop.folder.glob("drive/**/*.dump.gz")
    flip(stored)
    shop.server.psql(shop.name, "DELETE FROM t WHERE i > 7")
    for words in (("--clean", "--yes"), ("--to-database", f"{shop.name}_new")):
        refused(shop.inside("restore", "latest", *words), "pg: no copy can be restored: Disk: ", code=1)
    assert shop.databases() == [shop.name]
    assert shop.server.psql(shop.name, COUNT) == "7\n"


def test_an_account_that_may_not_and_a_server_that_is_not_there(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.server.psql("postgres", "CREATE ROLE reader LOGIN PASSWORD 'only-reads'")
    try:
        monkeypatch.setenv("BACKUPMAN_RESTORE_PASSWORD", "only-reads")
        place = f"{shop.server.host}:{shop.server.port}"
        ended = shop.inside("restore", "latest", "--url", f"postgresql://reader@{place}/{shop.name}_new")
        refused(ended, place, "reader may not create databases", code=1)
        ended = shop.inside("restore", "latest", "--url", f"postgresql://reader@{shop.server.host}:1/{shop.name}_new")
        refused(ended, f"{shop.server.host}:1", code=1)
    finally:
        shop.server.psql("postgres", "DROP ROLE reader")
    assert shop.databases() == [shop.name]
    assert [record["Status"] for record in records(shop.inside)] == ["failed", "failed"]
    assert told(shop.inside) == ["restore_start", "restore_failure"] * 2


def test_a_server_that_goes_away_half_way(shop: Shop) -> None:
    """It ends the sessions that fill the new database, as a shutdown does."""
    shop.server.psql(
        shop.name,
        "CREATE FUNCTION one(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN "
        "IF current_database() LIKE '%_new' THEN PERFORM pg_terminate_backend(pg_backend_pid()); "
        "END IF; RETURN 1; END $$; CREATE INDEX last ON t (one(i))",
    )
    shop.back_up()
    refused(shop.inside("restore", "latest", "--to-database", f"{shop.name}_new"), "pg: ", code=1)
    assert shop.databases() == [shop.name]


def test_roles_belong_to_the_whole_server_and_are_confirmed(shop: Shop) -> None:
    shop.server.psql("postgres", f"CREATE ROLE {shop.name}_role CONNECTION LIMIT 7")
    others = shop.server.psql("postgres", f"SELECT datname FROM pg_database WHERE datname <> '{shop.name}'").split()
    shop.config["data_sources"][0] |= {"db_name": None, "databases": "all", "exclude": others}
    try:
        shop.back_up()
        shop.server.psql("postgres", f"ALTER ROLE {shop.name}_role CONNECTION LIMIT 3")
        ended = shop.inside("restore", "latest", "--to-database", f"{shop.name}_new")  # which roles are newer than
        assert ended.code == 0, ended.err
        globals_of = ("restore", "latest", "--database", "_globals")
        refused(shop.inside(*globals_of), "this replaces roles and accounts on pg", code=2)
        refused(shop.inside(*globals_of, "--to-database", "x"), "belong to the whole server", code=2)
        ended = shop.inside(*globals_of, "--yes")
        assert ended.code == 0, ended.err
        limit = f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{shop.name}_role'"
        assert shop.server.psql("postgres", limit) == "7\n"
    finally:
        shop.server.psql("postgres", f"DROP ROLE {shop.name}_role")


def test_mariadb_names_replacements_and_refusals(
    tmp_path: Path, mariadb: Mariadb, mariadb_database: str, config: dict[str, Any], inside: Inside
) -> None:
    mariadb.client(mariadb_database, "CREATE TABLE t AS SELECT seq FROM seq_1_to_1000")
    login = {"host": mariadb.host, "port": mariadb.port, "user": mariadb.user, "password": mariadb.password}
    config["data_sources"] = [{"provider": "mariadb", "label": "my", "db_name": mariadb_database} | login]
    config["spool"] = {"min_free": "1MiB"}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    assert inside("run", "-q").code == 0
    mariadb.client(mariadb_database, "DELETE FROM t; CREATE TABLE later (n int)")
    back = f"{mariadb_database}_back"
    try:
        assert inside("restore", "latest", "--to-database", back).code == 0
        assert mariadb.client(back, COUNT) == "1000\n"
        refused(inside("restore", "latest", "--to-database", back), back, code=1)
        ended = inside("restore", "latest", "--clean", "--yes")
        assert ended.code == 0, ended.err
        assert mariadb.client(mariadb_database, COUNT) == "1000\n"
        assert mariadb.client(mariadb_database, "SHOW TABLES") == "t\n"
    finally:
        mariadb.drop_database(back)
