"""The world of the end-to-end tests: a SQLite source, a local drive and a webhook, to be changed by each test."""

import sqlite3
from pathlib import Path

import pytest

from tests.e2e.world import World
from tests.servers.receiver import Receiver


@pytest.fixture
def world(tmp_path: Path, receiver: Receiver) -> World:
    """A config that works, with retries that do not make tests slow."""
    with sqlite3.connect(tmp_path / "app.db") as database:
        database.execute("create table users (name text)")
        database.executemany("insert into users values (?)", [("Ada",), ("Grace",)])
    database.close()
    return World(
        folder=tmp_path,
        receiver=receiver,
        config={
            "state_folder": str(tmp_path / "state"),
            "instance": "test-host",
            "data_sources": [{"provider": "sqlite", "label": "App", "db_path": str(tmp_path / "app.db")}],
            "drives": [{"provider": "local", "label": "Disk", "folder": str(tmp_path / "drive")}],
            "notifiers": {
                "webhook": {
                    "enabled": True,
                    "endpoints": [{"name": "Hook", "url": f"{receiver.url}/hook", "token": "t0ken"}],
                }
            },
            "retry": {"attempts": 2, "first_wait": "50ms", "max_wait": "100ms"},
            "deliveries": {"first_wait": "100ms", "max_wait": "200ms"},
            "spool": {"min_free": "1MiB"},
        },
    )
