"""Writes a config's text into a file and loads it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backupman.config import Loaded, load
from backupman.errors import ConfigError

Write = Callable[[str], Path]
Load = Callable[[str], Loaded]
Mistakes = Callable[[str], list[str]]

SOURCES = "data_sources:\n  - {provider: sqlite, label: shop, db_path: shop.sqlite}\n"
DRIVES = "drives:\n  - {provider: local, label: disk, folder: backups}\n"
WHOLE = SOURCES + DRIVES


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the text of a config; its path."""

    def written(text: str) -> Path:
        path = tmp_path / "config.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.fixture
def loaded(write: Write) -> Load:
    """Loads the text of a good config."""
    return lambda text: load(write(text))


@pytest.fixture
def mistakes(write: Write) -> Mistakes:
    """Every mistake of a config's text, without the file's folder."""

    def listed(text: str) -> list[str]:
        path = write(text)
        with pytest.raises(ConfigError) as refused:
            load(path)
        assert refused.value.exit_code == 2
        return [line.removeprefix(f"{path.parent}/") for line in refused.value.sentence.split("\n")]

    return listed
