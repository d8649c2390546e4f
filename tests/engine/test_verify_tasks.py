"""What the child of a drill is told: how the dump was made, and nothing of the server that it came from."""

from pathlib import Path
from typing import Any

import pytest

from backupman.config import Config
from backupman.drives.local import Local
from backupman.engine.spools import Spools
from backupman.engine.verify_tasks import VerifyTasks, environment
from backupman.errors import BackupmanError
from backupman.records import Backup, DriveFile, Status
from backupman.sources.command import Command
from backupman.sources.postgres import Postgres
from backupman.store import Store
from tests.store.conftest import sqlite_store

__all__ = ["sqlite_store"]


def test_the_environment_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "DB_PASSWORD", "MYSQL_PWD", "BACKUPMAN_CONFIG", "SMTP_PASSWORD"):
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    found = environment()
    assert "s3cret" not in found.values()
    assert found["AWS_REGION"] == "eu-central-1"
    assert "PATH" in found


def test_a_drill_is_told_nothing_of_the_server(sqlite_store: Store, tmp_path: Path) -> None:
    login = {"host": "db.example.com", "user": "dumper", "password": "s3cret-word", "db_name": "shop"}
    shop = Postgres.model_validate({"provider": "postgres", "label": "shop", "freshness": "SELECT now()"} | login)
    config = Config(
        state_folder=tmp_path,
        data_sources=[shop, Command(provider="command", label="redis", argv=["redis-cli"])],
        drives=[Local(provider="local", label="disk", folder=tmp_path / "drive")],
    )
    tasks = VerifyTasks(config, Spools(config, sqlite_store))
    backup = backup_of("shop", "postgres", "shop/shop/backup-20260101000000-1a2b3c4d.sql.gz")
    task = tasks.drill(tasks.task(backup, backup.drive_files[0], "restore", (), tmp_path / "work"), backup, None)
    said = task.model_dump_json()
    assert not [secret for secret in ("db.example.com", "dumper", "s3cret-word") if secret in said]
    assert (task.origin.suffix, task.ending, task.freshness) == (".sql", ".gz", "SELECT now()")
    assert task.database == f"backupman_drill_{backup.id[:8]}"
    redis = backup_of("redis", "command", "redis/backup-20260101000000-1a2b3c4d.dump.gz")
    tasks.task(redis, redis.drive_files[0], "structure", (), tmp_path / "work")
    with pytest.raises(BackupmanError, match="cannot restore"):
        tasks.task(redis, redis.drive_files[0], "restore", (), tmp_path / "work")


def backup_of(source: str, provider: str, name: str) -> Backup:
    known: dict[str, Any] = {"label": source, "job": "nightly", "source": source, "database": source}
    backup = Backup(instance="host1", source_provider=provider, object_name=name, **known)
    file = DriveFile(backup_id=backup.id, provider="local", label="disk", ref=name, sha256="0" * 64)
    file.status = Status.FINISHED
    backup.drive_files = [file]
    return backup


def test_the_newest_row_is_asked_for_where_it_is(sqlite_store: Store, tmp_path: Path) -> None:
    asked = {"sql": "SELECT now()", "database": "shop"}
    shop = Postgres.model_validate(
        {"provider": "postgres", "label": "shop", "databases": ["shop", "blog"], "freshness": asked}
    )
    config = Config(
        state_folder=tmp_path,
        data_sources=[shop],
        drives=[Local(provider="local", label="disk", folder=tmp_path / "drive")],
    )
    tasks = VerifyTasks(config, Spools(config, sqlite_store))
    backup = backup_of("shop", "postgres", "shop/shop/backup-20260101000000-1a2b3c4d.sql.gz")
    task = tasks.task(backup, backup.drive_files[0], "restore", (), tmp_path / "work")
    assert tasks.drill(task, backup, None).freshness == "SELECT now()"
    backup.database = "blog"
    assert tasks.drill(task, backup, None).freshness is None
