"""Where the records are: the state folder, and the address of the database."""

from pathlib import Path

import pytest

from backupman.config.host import default_state_folder
from tests.config.conftest import WHOLE, Load


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_STATE_HOME": "/x", "STATE_DIRECTORY": "/s", "HOME": "/h"}, "/x/backupman"),
        ({"XDG_STATE_HOME": "relative", "STATE_DIRECTORY": "/s:/t", "HOME": "/h"}, "/s"),
        ({"HOME": "/h"}, "/var/lib/backupman"),
        ({}, "/var/lib/backupman"),
    ],
)
def test_the_state_folder_of_root_and_services(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("XDG_STATE_HOME", "STATE_DIRECTORY", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_state_folder() == Path(folder)


def test_the_state_folder_of_an_ordinary_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_state_folder() == Path("/home/me/.local/state/backupman")


@pytest.mark.parametrize(
    ("database", "address"),
    [
        ("{db_path: my records.db}", "sqlite:///my records.db"),
        ("{db_path: '/var/a?b#c%d.db'}", "sqlite:////var/a%3Fb%23c%25d.db"),
        ("{provider: memory}", "sqlite://"),
        ("{provider: mysql, user: me}", "mysql+pymysql://me@127.0.0.1:3306/backupman?tls=false"),
        (
            "{provider: mysql, host: '::1', port: 3307, db_name: a/b, user: 'm@', password: 'p:@/ ?%ß', tls: off}",
            "mysql+pymysql://m%40:p%3A%40%2F %3F%25%C3%9F@[::1]:3307/a/b?tls=false",
        ),
        ("{provider: postgres, tls: on}", "postgresql+psycopg://127.0.0.1:5432/backupman?sslmode=require"),
        (
            "{url: 'postgres://me:p%40ss@db/x?sslmode=verify-full'}",
            "postgresql+psycopg://me:p%40ss@db/x?sslmode=verify-full",
        ),
        ("{url: 'mariadb://me@db/x'}", "mysql+pymysql://me@db/x"),
        ("{url: 'sqlite:////var/x.db'}", "sqlite:////var/x.db"),
    ],
)
def test_the_database_section_becomes_an_address(loaded: Load, database: str, address: str) -> None:
    assert loaded(WHOLE + f"database: {database}\n").config.database.address(Path("/state")) == address
