"""What a dead process left on a drive is removed, however little of it was recorded, and nothing else."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from backupman.app import App
from backupman.engine.locks import source_lock
from backupman.engine.runner import Order
from backupman.records import Backup, Status


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """One source, one local drive, nobody who is told."""
    config = {
        "state_folder": str(tmp_path / "state"),
        "data_sources": [{"provider": "command", "label": "App", "argv": ["echo", "x"]}],
        "drives": [{"provider": "local", "label": "Disk", "folder": str(tmp_path / "drive")}],
    }
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    app = App.from_config(tmp_path / "config.yml")
    yield app
    app.close()


def dead(app: App) -> Backup:
    """A backup whose parent was killed before it took a word of its child, which had put the object on the drive."""
    (plan,) = app.plans
    runner = app.recovery._runner
    backup = runner.begin(plan, plan.sources[0], "db", Order(trigger="manual"))
    assert backup.phase is None
    for path in (object_of(backup), Path(f"{object_of(backup)}.json")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return backup


def object_of(backup: Backup) -> Path:
    (file,) = backup.drive_files
    return Path(file.path or "")


def test_an_object_goes_although_no_phase_was_recorded(app: App) -> None:
    backup = dead(app)
    neighbour = object_of(backup).with_name("backup-20200101000000-11111111.gz")
    neighbour.write_text("somebody else's")
    assert app.recovery.settle() == []
    settled = app.store.backups.get(backup.id)
    assert (settled.status, [file.status for file in settled.drive_files]) == (Status.FAILED, [Status.FAILED])
    assert "was killed" in (settled.error or "")
    assert settled.warnings == []
    assert [path.name for path in object_of(backup).parent.iterdir()] == [neighbour.name]


def test_what_another_host_began_is_left_alone(app: App) -> None:
    backup = dead(app)
    app.store.backups.change(backup.id, instance="another-host")
    assert app.recovery.settle() == []
    assert app.store.backups.get(backup.id).status == Status.PENDING
    assert object_of(backup).exists()


def test_what_somebody_works_on_is_left_alone(app: App) -> None:
    backup = dead(app)
    with source_lock(app.config.state_folder, "App", wait=False):
        assert app.recovery.settle() == []
    assert app.store.backups.get(backup.id).status == Status.PENDING
    assert object_of(backup).exists()


def test_a_drive_that_left_the_config_leaves_no_backup_pending(app: App, tmp_path: Path) -> None:
    backup = dead(app)
    spool = Path(backup.spool_path or "")
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.write_text("x")
    app.store.backups.change(backup.id, dump_status=Status.FINISHED, dump_path=str(spool))
    other = yaml.safe_load((tmp_path / "config.yml").read_text())
    other["drives"][0]["label"] = "Other"
    (tmp_path / "config.yml").write_text(yaml.safe_dump(other))
    with closing(App.from_config(tmp_path / "config.yml")) as later:
        assert later.recovery.settle() == []
        assert later.store.backups.get(backup.id).status == Status.FAILED


def changed(tmp_path: Path, **settings: object) -> App:
    """The app of the same config with other settings."""
    config = yaml.safe_load((tmp_path / "config.yml").read_text()) | settings
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    return App.from_config(tmp_path / "config.yml")


def test_commands_of_another_job_are_not_run_for_one_that_left_the_config(app: App, tmp_path: Path) -> None:
    dead(app)
    own = {"after_backup": [f"touch {tmp_path}/own"], "on_error": [f"touch {tmp_path}/own"]}
    everybody_s = {"after_backup": [f"touch {tmp_path}/everybodys"]}
    with closing(changed(tmp_path, jobs=[{"label": "Other", "hooks": own}], hooks=everybody_s)) as later:
        assert later.recovery.settle() == []
    assert (tmp_path / "everybodys").exists()
    assert not (tmp_path / "own").exists()


def test_a_drive_that_left_the_job_is_cleaned(app: App, tmp_path: Path) -> None:
    backup = dead(app)
    disks = [{"provider": "local", "label": name, "folder": str(tmp_path / name)} for name in ("Disk", "Other")]
    disks[0]["folder"] = str(tmp_path / "drive")
    job = {"label": backup.job, "drives": ["Other"]}
    with closing(changed(tmp_path, jobs=[job], drives=disks)) as later:
        assert later.recovery.settle() == []
    assert not object_of(backup).exists()
