"""What a dead drill has left is removed, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from backupman.config import Config
from backupman.drives.local import Local
from backupman.engine.drill_folders import DrillFolders
from backupman.errors import BackupmanError, BusyError
from backupman.sources import _scratch as scratch
from backupman.sources.sqlite import Sqlite


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "scratch").mkdir()
    return Config(
        state_folder=tmp_path / "state",
        data_sources=[Sqlite(provider="sqlite", label="Shop", db_path=tmp_path / "shop.sqlite")],
        scratch_servers=[Sqlite(provider="sqlite", label="Drills", db_path=tmp_path / "scratch" / "any.sqlite")],
        drives=[Local(provider="local", label="Disk", folder=tmp_path / "drive")],
    )


def test_a_folder_is_gone_with_its_drill(config: Config) -> None:
    folders = DrillFolders(config)
    with folders.of("Shop") as folder:
        folder.work.mkdir()
        (folder.work / "litter").touch()
        assert folder.path.is_relative_to(config.state_folder / "drills")
    assert list((config.state_folder / "drills").iterdir()) == []


def test_one_drill_of_a_source_at_a_time(config: Config) -> None:
    folders = DrillFolders(config)
    with folders.of("Shop") as folder:
        with pytest.raises(BusyError), DrillFolders(config).of("Shop", stop=lambda: True):
            pass
        folders.sweep()
        assert folder.path.is_dir(), "a drill under way is left alone"
        with folders.of("Another"):
            pass


@pytest.mark.parametrize("label", ["Müller & Söhne", "Customers of the branch in the south west, invoices " * 3])
def test_a_sweep_leaves_a_drill_of_any_label_alone(config: Config, label: str) -> None:
    with DrillFolders(config).of(label) as folder:
        DrillFolders(config).sweep()
        assert folder.path.is_dir()


def test_a_sweep_removes_what_is_left_where_a_state_folder_is_closed(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_common", lambda: tmp_path)
    left = tmp_path / f"{scratch._ELSEWHERE}left"
    with scratch._elsewhere() as busy:
        (left / "server").mkdir(parents=True)
        (left / "lock").touch()
        DrillFolders(config).sweep()
        assert busy.is_dir(), "a drill under way is left alone"
    assert not left.exists()


def test_what_was_made_on_a_scratch_server_is_dropped_by_its_name(config: Config, tmp_path: Path) -> None:
    folders = DrillFolders(config)
    left, own = (tmp_path / "scratch" / f"{name}.sqlite" for name in ("backupman_drill_1a2b3c4d", "mine"))
    left.touch()
    own.touch()
    dead = config.state_folder / "drills" / "shop"
    (dead / "work").mkdir(parents=True)
    (dead / "made.json").write_text('{"server": "Drills", "database": "backupman_drill_1a2b3c4d"}')
    folders.sweep()
    assert (left.exists(), own.exists(), dead.exists()) == (False, True, False)


def test_a_server_that_a_killed_drill_has_left_is_ended(config: Config) -> None:
    folders = DrillFolders(config)
    work = config.state_folder / "drills" / "shop" / "work"
    work.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=work, stdin=subprocess.PIPE) as server:
        assert Path(f"/proc/{server.pid}/cwd").readlink() == work
        folders.sweep()
        assert server.wait(60) < 0
    assert not work.exists()


def test_so_is_one_below_a_link(config: Config, tmp_path: Path) -> None:
    (tmp_path / "disk" / "drills" / "shop").mkdir(parents=True)
    config.state_folder.symlink_to(tmp_path / "disk")
    work = config.state_folder / "drills" / "shop"
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=work, stdin=subprocess.PIPE) as server:
        DrillFolders(config).sweep()
        assert server.wait(60) < 0


def test_a_folder_that_cannot_be_made_is_said(config: Config) -> None:
    (config.state_folder).mkdir()
    (config.state_folder / "drills").write_text("a file")
    with pytest.raises(BackupmanError, match=r"the drill's folder .* cannot be made"), DrillFolders(config).of("Shop"):
        pass
    assert [lock.name for lock in (config.state_folder / "locks").iterdir()] == ["drill-shop"]
