"""The small world of the end-to-end tests for commands too; commands inside the test's process, which are quicker."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.cli import main
from tests.e2e.conftest import world
from tests.e2e.world import Ended

__all__ = ["world"]

Inside = Callable[..., Ended]


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """Runs a command in the test's own process and in its folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["backupman", *words])
        try:
            code = main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """A small config that works, written to `config.yml` in the test's folder."""
    made: dict[str, Any] = {
        "state_folder": str(tmp_path / "state"),
        "data_sources": [{"provider": "sqlite", "label": "App", "db_path": "app.db"}],
        "drives": [{"provider": "local", "label": "Disk", "folder": "drive"}],
    }
    (tmp_path / "config.yml").write_text(yaml.safe_dump(made))
    return made
