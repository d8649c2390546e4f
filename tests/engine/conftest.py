"""The worlds of scheduler and deadlines, and a store for those who need nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backupman.store import Store
from tests.engine._virtual import Clock, World, settings


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world at a time, with sources and the settings of its one job; its records are in memory."""
    stores: list[Store] = []

    def make(time: str, *sources: str, more: dict[str, Any] | None = None, **job: Any) -> World:
        store = Store.open("sqlite://")
        stores.append(store)
        return World(tmp_path, store, Clock(time), settings(tmp_path, *(sources or ["App"]), **job) | (more or {}))

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store in a file."""
    opened = Store.open(f"sqlite:///{tmp_path}/records.db")
    yield opened
    opened.close()
