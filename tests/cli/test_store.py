"""`backupman store migrate` as a user types it, and Backupman going on with the new database."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from backupman.engine.locks import daemon_lock
from backupman.store import Store
from backupman.store.claims import Holder
from tests.cli.conftest import Inside
from tests.store.conftest import a_backup, server_address, sqlite_address


@pytest.fixture
def backup(tmp_path: Path, config: dict[str, Any]) -> str:
    """The id of the one backup in the records of the config."""
    store = Store.open(sqlite_address(tmp_path / "state" / "backupman.db"))
    made = store.backups.begin(a_backup(), [])
    store.close()
    return made.id


def test_the_records_are_copied_and_the_config_that_is_printed_finds_them(
    backup: str,
    inside: Inside,
    config: dict[str, Any],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = make_url(server_address(request, "postgres"))
    typed = url.set(drivername="postgresql").render_as_string().replace(":***@", ":${DB_PASSWORD}@")
    escaped = url.render_as_string(hide_password=False).partition("://")[2].partition("@")[0].partition(":")[2]
    monkeypatch.setenv("DB_PASSWORD", escaped)
    ended = inside("store", "migrate", "--to", typed)
    assert ended.code == 0, ended.err
    assert "✓ 2 records of " in ended.out
    assert "tables were copied" in ended.out
    assert str(url.password) not in ended.out + ended.err
    shown = ended.out[ended.out.index("database:") : ended.out.index("The records in")]
    config |= yaml.safe_load(shown)
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    assert [found["Id"] for found in inside("list", "--json").json["Results"]] == [backup]
    back = inside("store", "migrate", "--to", f"sqlite:///{tmp_path}/state/backupman.db")
    assert "2 records of " in back.out
    assert "were all there already" in back.out


def test_a_password_that_was_typed_is_not_printed(backup: str, inside: Inside, request: pytest.FixtureRequest) -> None:
    url = make_url(server_address(request, "postgres")).set(drivername="postgresql")
    ended = inside("store", "migrate", "--to", url.render_as_string(hide_password=False))
    assert ended.code == 0, ended.err
    assert url.render_as_string().replace("***", "${DB_PASSWORD}") in ended.out
    assert str(url.password) not in ended.out + ended.err


def test_a_daemon_that_runs_is_not_robbed_of_its_records(backup: str, inside: Inside, tmp_path: Path) -> None:
    lock = daemon_lock(tmp_path / "state")
    ended = inside("store", "migrate", "--to", f"sqlite:///{tmp_path}/new.db")
    os.close(lock)
    assert (ended.code, "stop it first" in ended.err) == (3, True)
    assert not (tmp_path / "new.db").exists()


def test_nor_is_one_on_another_host(
    inside: Inside, config: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = server_address(request, "postgres")
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config | {"database": {"url": address}}))
    store = Store.open(address)
    store.claims.take(Holder("shop", "1", "home", "db7"), "lead", timedelta(hours=1))
    store.close()
    ended = inside("store", "migrate", "--to", f"sqlite:///{tmp_path}/new.db")
    assert (ended.code, "shop on db7 uses the records still; stop it first" in ended.err) == (3, True)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("oracle://db/x", "--to: should be sqlite:///file, postgresql://user:password@host/name or mysql://"),
        ("sqlite:///", "--to: names no file, so that each command would forget its records: write sqlite:////srv/file"),
        ("sqlite://", "--to: names no file"),
        ("sqlite:///:memory:", "--to: names no file"),
        ("postgresql://me:${NO_SUCH_NAME}@db/x", "--to: the environment variable NO_SUCH_NAME is not set"),
        ("postgresql://me:S3cret@127.0.0.1:1/x", "the store postgresql+psycopg://me:***@127.0.0.1:1/x cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_sentence(backup: str, inside: Inside, url: str, said: str) -> None:
    ended = inside("store", "migrate", "--to", url)
    assert ended.code != 0
    assert f"Error: {said}" in ended.err
    assert "S3cret" not in ended.err
