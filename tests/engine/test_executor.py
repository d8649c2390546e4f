"""The executor on an App of its own: it goes on with what is there now, and ends what it has told of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.app import App
from backupman.data_plane.messages import Message
from backupman.engine.runner import Order
from backupman.errors import StoreError
from backupman.records import Backup, Status
from backupman.store.backups import Backups


class Seen:
    """How the files of each backup stand when it is begun, or gone on with."""

    def __init__(self) -> None:
        self.begun: list[dict[str, str]] = []

    def began(self, backup: Backup) -> None:
        self.begun.append({file.label: str(file.status) for file in backup.drive_files})

    def heard(self, backup: Backup, message: Message) -> None:
        """Nothing."""

    def ended(self, backup: Backup) -> None:
        """Nothing."""


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def app(tmp_path: Path, seen: Seen) -> Iterator[App]:
    """One source, and two drives with a file in the place of each one's folder."""
    config = {
        "instance": "test-host",
        "state_folder": str(tmp_path / "state"),
        "retry": {"attempts": 1},
        "data_sources": [{"provider": "command", "label": "App", "argv": ["echo", "dump"]}],
        "drives": [
            {"provider": "local", "label": name, "folder": str(tmp_path / name), "min_free": 0} for name in "AB"
        ],
        "spool": {"min_free": 0},
    }
    for name in "AB":
        (tmp_path / name).touch()
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    app = App.from_config(tmp_path / "config.yml", seen)
    yield app
    app.close()


def files(app: App, backup: Backup) -> dict[str, str]:
    return {file.label: str(file.status) for file in app.store.backups.get(backup.id).drive_files}


def test_a_retry_goes_on_from_what_is_on_record_when_its_turn_comes(app: App, seen: Seen, tmp_path: Path) -> None:
    """What another one has stored meanwhile is none of this one's, to be removed when it is cancelled."""
    app.executor.run(app.plans, None, Order(), wait=True)
    asked_for = app.store.backups.get("latest")
    (tmp_path / "A").unlink()
    app.executor.retry(app.plans, [asked_for], wait=True)
    assert files(app, asked_for) == {"A": "finished", "B": "failed"}
    again = app.executor.retry(app.plans, [asked_for], wait=True)
    assert seen.begun[-1] == {"A": "finished", "B": "pending"}
    assert [backup.status for backup in again.backups] == ["failed"]
    (tmp_path / "B").unlink()
    app.executor.retry(app.plans, [asked_for], wait=True)
    assert files(app, asked_for) == {"A": "finished", "B": "finished"}
    [error] = app.executor.retry(app.plans, [asked_for], wait=True).errors
    assert error.sentence == "App: no upload of this backup has failed"


@pytest.mark.parametrize("dumped", [True, False])
def test_failed_databases_of_one_source_are_all_retried(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dumped: bool
) -> None:
    monkeypatch.setattr(type(app.executor), "_databases", lambda self, source: ["a", "b", "c", "d"])
    failed = app.executor.run(app.plans, None, Order(), wait=False).backups
    for name in "AB":
        (tmp_path / name).unlink()
    if not dumped:
        for backup in failed:
            app.store.backups.change(backup.id, dump_status=Status.FAILED, dump_path=None)
    result = app.executor.retry(app.plans, [app.store.backups.get(each.id) for each in failed], wait=False)
    assert (result.busy, result.errors) == ([], [])
    assert [(each.status, each.trigger) for each in result.backups] == [
        (Status.FINISHED, "manual" if dumped else "retry")
    ] * 4


def test_a_run_that_cannot_record_all_of_its_databases_ends_those_that_it_has(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, begun = Backups.begin, 0

    def begins(self: Backups, *about: Any) -> Backup:
        nonlocal begun
        begun += 1
        if begun == 3:
            raise StoreError("the records are away")
        return begin(self, *about)

    monkeypatch.setattr(type(app.executor), "_databases", lambda self, source: ["a", "b", "c"])
    monkeypatch.setattr(Backups, "begin", begins)
    result = app.executor.run(app.plans, None, Order(), wait=True)
    assert [error.sentence for error in result.errors] == ["the records are away"]
    assert result.backups == [], "so that the run counts as not begun, and is begun again"
    made = app.store.backups.list()
    assert [(each.status, each.error) for each in made] == [(Status.FAILED, "App: the records are away")] * 2
