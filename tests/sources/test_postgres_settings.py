"""The settings of PostgreSQL: which go together, what pg_dump may be told, and which pg_dump it is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from backupman.sources import _postgres_client
from backupman.sources._postgres_client import find_program, version_of
from backupman.sources.postgres import Postgres as PostgresSource
from tests.contracts._children import watched
from tests.contracts.source import dumped
from tests.servers.postgres import Postgres


def source(**settings: object) -> PostgresSource:
    given = {"provider": "postgres", "label": "Shop", "db_name": "shop", **settings}
    return PostgresSource.model_validate({name: value for name, value in given.items() if value is not None})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"db_name": None}, "give either db_name or databases"),
        ({"databases": "all"}, "give either db_name or databases"),
        ({"db_name": None, "databases": []}, "at least 1 item"),
        ({"exclude": ["x"]}, "exclude goes with databases: all"),
        ({"db_name": None, "databases": ["a"], "exclude": ["a"]}, "exclude goes with databases: all"),
        ({"db_name": None, "databases": "all", "tables": ["a"]}, "tables goes with db_name"),
        ({"jobs": 2}, "jobs goes with format: directory"),
        ({"format": "tar"}, "'plain', 'custom' or 'directory'"),
        ({"tls": True, "tls_mode": "require"}, "give one"),
        ({"tls": False, "tls_ca": "/ca.pem"}, "tls is off"),
        ({"tls_cert": "/cert.pem"}, "tls_cert and tls_key go together"),
        ({"password": "two\nlines"}, "line break"),
        ({"port": 0}, "port"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as raised:
        source(**settings)
    assert "two\\nlines" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, None),
        ({"tls": True}, "require"),
        ({"tls": False}, "disable"),
        ({"tls_ca": "/ca.pem"}, "verify-full"),
        ({"tls": True, "tls_ca": "/ca.pem"}, "verify-full"),
        ({"tls_mode": "verify-ca", "tls_ca": "/ca.pem"}, "verify-ca"),
        ({"tls_mode": "prefer"}, "prefer"),
    ],
)
def test_what_tls_means_to_libpq(settings: dict[str, object], mode: str | None) -> None:
    with source(**settings)._logged_in("shop") as login:
        assert f"sslmode='{mode}'" in login.conninfo if mode else "sslmode" not in login.conninfo


@pytest.mark.parametrize(
    "option",
    ["--file=x", "--fil=x", "-fx", "-f", "-Ofx", "-Fc", "-vFc", "--format", "-W", "--password", "-C", "--create"],
)
def test_options_that_break_the_gate_or_the_secrecy(option: str) -> None:
    with pytest.raises(ValidationError, match=" may not be given to pg_dump: "):
        source(options=["--no-owner", option])


@pytest.mark.parametrize(
    "option",
    ["-Z9", "-d", "--dbname=x", "-h", "-p1", "-U", "-j4", "--lock-wait-timeout=1", "--enable-row-security", "--en"],
)
def test_options_that_have_a_setting_or_hide_rows(option: str) -> None:
    with pytest.raises(ValidationError, match=" may not be given to pg_dump: "):
        source(options=[option])


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--dbname=postgresql://u:hunter2@db1/shop", "--dbname"),
        ("-dpostgresql://u:hunter2@db1/shop", "-d"),
        ("-vOdhunter2", "-vOd"),
        ("-W", "-W"),
        ("--pass", "--pass"),
    ],
)
def test_what_is_said_of_an_option_holds_no_value_of_it(option: str, shown: str) -> None:
    with pytest.raises(ValidationError, match=f" {shown} may not be given to pg_dump: ") as raised:
        source(options=[option])
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "option",
    [
        "--no-owner",
        "-xO",
        "--no-comments",
        "--clean",
        "-nfoo",
        "--exclude-table-data=f*",
        "-Nfdp",
        "--schema=file",
        "-s",
    ],
)
def test_harmless_options(option: str) -> None:
    assert source(options=[option]).options == [option]


def test_the_originals_settings_are_enough() -> None:
    PostgresSource.model_validate(
        {
            "provider": "postgres",
            "label": "Pg",
            "host": "db",
            "port": 5432,
            "db_name": "shop",
            "user": "u",
            "password": 7,
        }
        | {"tls": False, "tmp_folder": "/tmp"}
    )


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with several versions of PostgreSQL, each in a folder of its own, and one on the PATH."""
    for name, version in {"9": "9.6.24", "16": "16.4 (Debian 16.4-1)", "17": "17beta1", "path": "15.1"}.items():
        folder = tmp_path / name / "bin"
        folder.mkdir(parents=True)
        for program in ("pg_dump", "pg_restore"):
            (folder / program).write_text(f"#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")
            (folder / program).chmod(0o755)
    broken = tmp_path / "18" / "bin" / "pg_dump"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(_postgres_client, "PLACES", (f"{tmp_path}/*/bin",))
    monkeypatch.setenv("PATH", f"{tmp_path}/path/bin:{os.environ['PATH']}")
    _postgres_client._newest_folder.cache_clear()
    yield tmp_path
    _postgres_client._newest_folder.cache_clear()


def test_the_newest_program_is_taken(installed: Path) -> None:
    assert find_program("Shop", "pg_restore", None) == installed / "17/bin/pg_restore"
    assert version_of("Shop", installed / "16/bin/pg_dump") == "16.4"


def test_a_newer_program_on_the_path_is_taken(installed: Path) -> None:
    (installed / "path/bin/pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 21.0'\n")
    assert find_program("Shop", "pg_dump", None) == installed / "path/bin/pg_dump"


def test_what_debian_has_on_the_path_is_not_started(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chooser, on_path = installed / "pg_wrapper", installed / "pg_dump"
    chooser.write_text(f"#!/bin/sh\ntouch {installed}/started\necho 'pg_dump (PostgreSQL) 21.0'\n")
    chooser.chmod(0o755)
    on_path.symlink_to(chooser)
    monkeypatch.setenv("PATH", f"{installed}:{os.environ['PATH']}")
    assert find_program("Shop", "pg_dump", None) == installed / "17/bin/pg_dump"
    assert not (installed / "started").exists()


def test_tool_path_is_obeyed(installed: Path) -> None:
    folder, program = installed / "9/bin", installed / "9/bin/pg_dump"
    assert find_program("Shop", "pg_restore", folder) == folder / "pg_restore"
    assert find_program("Shop", "pg_dump", program) == program
    assert find_program("Shop", "pg_restore", program) == folder / "pg_restore"


def test_nothing_is_inherited_that_libpq_reads(
    postgres: Postgres, postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "password": postgres.password}
    with watched() as seen, monkeypatch.context() as patch:
        for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSERVICE", "PGOPTIONS", "PGSSLMODE"):
            patch.setenv(name, "wrong-by-far")
        dumped(source(db_name=postgres_database, **login), tmp_path)
    # Between fork and exec a child still looks like us.
    tools = [child for child in seen if child.name == "pg_dump" and b"--dbname" in child.argv]
    assert tools
    assert not [child for child in tools if b"wrong-by-far" in child.environ]


def test_the_usual_password_file_serves(
    postgres: Postgres, postgres_database: str, tmp_path: Path, own_environment: Path
) -> None:
    escaped = postgres.password.replace("\\", "\\\\").replace(":", "\\:")
    passfile = own_environment / ".pgpass"
    passfile.write_text(f"*:*:*:{postgres.user}:{escaped}\n")
    passfile.chmod(0o600)
    dumped(source(db_name=postgres_database, host=postgres.host, port=postgres.port, user=postgres.user), tmp_path)
