"""The world of the end-to-end tests: a SQLite source, a local drive and a webhook, to be changed by each test."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from backupman.store import Store
from tests.e2e.scheduling import ALARMS, EVERY_SECOND
from tests.e2e.world import World
from tests.servers._process import free_port
from tests.servers.receiver import Receiver
from tests.tables import seed


@pytest.fixture
def world(tmp_path: Path, receiver: Receiver) -> Iterator[World]:
    """A config that works, with retries that do not make tests slow."""
    with sqlite3.connect(tmp_path / "app.db") as database:
        database.execute("create table users (name text)")
        database.executemany("insert into users values (?)", [("Ada",), ("Grace",)])
    database.close()
    seed(tmp_path / "state")
    world = World(
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
    yield world
    world.end_all()


@pytest.fixture
def scheduled(world: World) -> World:
    """A daemon with one job of every second, whose webhook is told of deadlines."""
    world.config["http"] = {"host": "127.0.0.1", "port": free_port(), "api_keys": ["s3cret-key"]}
    world.config["jobs"] = [{"label": "often", "cron": EVERY_SECOND}]
    world.config["notifiers"]["webhook"]["endpoints"][0]["events"] = ALARMS
    return world


@pytest.fixture
def store(scheduled: World) -> Iterator[Store]:
    """The daemon's records."""
    opened = Store.open(f"sqlite:///{scheduled.folder}/state/backupman.db")
    yield opened
    opened.close()
