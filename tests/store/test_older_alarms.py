"""An upgrade makes notifications of the alarms that were on record before there were any of our own."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import insert

from backupman.events import EventKind
from backupman.records import Event
from backupman.store import Store
from tests.store.conftest import START

ALARMS: list[tuple[EventKind, dict[str, Any]]] = [
    (EventKind.BACKUP_FAILURE, {"Label": "shop", "Error": "shop: gone"}),
    (EventKind.BACKUP_REPORT, {"Label": "shop", "Error": "shop: gone"}),
    (EventKind.PRUNE_REPORT, {"Label": "shop", "Failed": 0, "Reason": "all went well"}),
    (EventKind.RECONCILE_REPORT, {"Label": "disk", "Failed": 0, "Error": "unreachable", "Reason": "disk: away"}),
    (EventKind.BACKUP_LATE, {"Source": "nas", "Sender": "cron", "Reason": "late"}),
]


def test_alarms_of_older_events_become_notifications(shared_address: str, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    store = Store(shared_address)
    config = Config()
    config.set_main_option("script_location", "backupman:migrations")
    config.set_main_option("path_separator", "os")
    rows = [
        {
            "id": f"{number:08}-0000-4000-8000-000000000000",
            "kind": kind.value,
            "time": START + timedelta(seconds=number),
            "instance": "host1",
            "job": "nightly",
            "payload": payload,
        }
        for number, (kind, payload) in enumerate(ALARMS * 300)  # more than are read at once
    ]
    with store._engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(insert(Event), rows)
    store.close()
    upgraded = Store.open(shared_address)
    found = upgraded.listings.notifications({"type": None}, None, 1000)
    first = upgraded.outbox.event(found[0].id)
    upgraded.close()
    assert len(found) == 900
    assert [(each.type, each.severity, each.device, each.message, each.kind) for each in found[:3]] == [
        ("backup_late", "error", "nas", "late", "own"),
        ("reconcile_report", "error", "host1", "disk: away", "own"),
        ("backup_failure", "error", "host1", "shop: gone", "own"),
    ]
    assert (first.kind, first.time) == (found[0].type, found[0].time)
