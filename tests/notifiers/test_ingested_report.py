"""What people read of a result or a notification that a script elsewhere has sent."""

from pathlib import Path

import pytest

from backupman.events import EventKind
from backupman.notifiers import Message
from backupman.notifiers._report import Report, render
from backupman.store import Store
from backupman.store.ingest import Noted, Recipient, Reported
from tests.store.conftest import START

HERE = Recipient("host1", "scripts")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'records.db'}")


def last_report(store: Store, kind: EventKind) -> Report:
    (event,) = store.outbox.events(kind=kind, limit=1)
    store.close()
    return render(Message(event.id, event.kind, event.time, event.payload), None, "mail")


@pytest.mark.parametrize(
    ("status", "title", "outcome"),
    [
        ("Success", "finished", "has finished,"),
        ("Warning", "finished", "has finished with a warning,"),
        ("Broken", "FAILED", "has failed,"),
    ],
)
def test_a_result_says_where_it_comes_from_and_names_no_drive(
    store: Store, status: str, title: str, outcome: str
) -> None:
    store.ingest.backup(Reported("web-1", "Nightly", START, status, "142 GB <transferred>", "rsync"), HERE)
    report = last_report(store, EventKind.BACKUP_REPORT)
    assert report.subject == f"[backupman] {title}: Nightly (host1)"
    assert f"Nightly on web-1 {outcome} says rsync." in report.text
    for line in ("Device:       web-1", "Sender:       rsync", f"It said:      {status}"):
        assert line in report.text
    assert report.text.count("142 GB <transferred>") == 1
    assert report.html.count("142 GB &lt;transferred&gt;") == 1
    for word in ("Source", "Database", "drive"):
        assert word not in report.text
        assert word not in report.html


def test_a_notification_has_its_type_and_severity_in_the_subject(store: Store) -> None:
    store.ingest.notification(Noted("web-1", START, "warning", "disk_space_low", None, "15% free", "monitor"), HERE)
    report = last_report(store, EventKind.NOTIFICATION)
    assert report.subject == "[backupman] notification: web-1: disk_space_low (warning) (host1)"
    for text in ("15% free", "disk_space_low", "warning", "monitor", "web-1", "2025-07-02 10:00:00 UTC"):
        assert text in report.text
        assert text in report.html
    assert "Backup:" not in report.text


def test_a_type_does_not_turn_the_severity_around(store: Store) -> None:
    store.ingest.notification(Noted("web-1", START, "critical", "disk\u202e low"), HERE)
    report = last_report(store, EventKind.NOTIFICATION)
    assert ">web-1: disk low (critical)</h1>" in report.html
    assert "\u202e" not in report.text.splitlines()[0]
