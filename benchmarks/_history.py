"""A store with years of records, written straight into its tables."""

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _daemon import store_of

SOURCES = 100
DRIVES = ("Disk", "Cloud")
INTERVAL = 120
"""Seconds between two backups: a million of them are almost four years."""

_DAMAGED = "n % 31 = 7"
_INGESTED = "n % 50 = 0"
_RETIRED = 3
"""A source whose last backup is as old as the first tenth of the records: what lists by its label looks far back."""


def fill(config: Path, backups: int) -> None:
    """Put so many backups with a file on each of two drives into the empty store of a config."""
    with contextlib.closing(sqlite3.connect(store_of(config))) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-1000000")
        with database:
            _backups(database, backups)
            _drive_files(database)


def tell(config: Path) -> None:
    """Add what was told of these backups: an event, a delivery with its answer and a notification of each."""
    with contextlib.closing(sqlite3.connect(store_of(config))) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-1000000")
        with database:
            _events(database)
            _deliveries(database)
            _notifications(database)


def _events(database: sqlite3.Connection) -> None:
    payload = "'Id', id, 'Label', label, 'Status', status, 'Job', job, 'Source', source, 'Error', error"
    columns = {
        "id": _uuid(),
        "kind": "CASE WHEN status = 'failed' THEN 'backup_failure' ELSE 'backup_report' END",
        "time": "finished_at",
        "instance": "instance",
        "job": "job",
        "backup_id": "id",
        "payload": f"json_object({payload})",
    }
    database.execute(_insert("backupman_events", columns, "backupman_backups ORDER BY created_at"))


def _deliveries(database: sqlite3.Connection) -> None:
    columns = {
        "event_seq": "seq",
        "instance": "instance",
        "endpoint": "'webhook/Operations'",
        "lane": "job",
        "state": "CASE WHEN seq % 5000 = 0 THEN 'failed' ELSE 'delivered' END",
        "attempts": "1",
        "next_attempt_at": "time",
        "settled_at": "time",
        "answer": "'200 OK'",
        "created_at": "time",
    }
    database.execute(_insert("backupman_deliveries", columns, "backupman_events"))
    tried = {
        "delivery_id": "id",
        "at": "created_at",
        "seconds": "0.2",
        "delivered": "state = 'delivered'",
        "answer": "answer",
    }
    database.execute(_insert("backupman_delivery_attempts", tried, "backupman_deliveries"))


def _notifications(database: sqlite3.Connection) -> None:
    columns = {
        "id": "id",
        "kind": "CASE WHEN kind = 'backup_failure' THEN 'own' ELSE 'ingested' END",
        "device": "CASE WHEN kind = 'backup_failure' THEN instance ELSE printf('device-%d', seq % 200) END",
        "sender": "'cron'",
        "job": "job",
        "type": "CASE WHEN kind = 'backup_failure' THEN kind ELSE 'disk' END",
        "severity": "CASE WHEN kind = 'backup_failure' THEN 'error' ELSE 'info' END",
        "message": "'something to read'",
        "time": "time",
        "created_at": "time",
    }
    database.execute(_insert("backupman_notifications", columns, "backupman_events"))


def _backups(database: sqlite3.Connection, count: int) -> None:
    source = f"CASE WHEN n % {SOURCES} = {_RETIRED} AND n > {count // 10} THEN 0 ELSE n % {SOURCES} END"
    at = f"strftime('%s', 'now') - ({count} - n) * {INTERVAL}"
    time_of = f"strftime('%Y-%m-%d %H:%M:%S', {at}, 'unixepoch') || printf('.%06d', n % 1000000)"
    columns = {
        "id": _uuid(),
        "status": f"CASE WHEN {_DAMAGED} THEN 'failed' ELSE 'finished' END",
        "dump_status": f"CASE WHEN {_DAMAGED} THEN 'failed' ELSE 'finished' END",
        "label": f"printf('Source %d/db%d', {source}, n / {SOURCES} % 3)",
        "job": f"printf('job-%d', {source} / 10)",
        "source": f"printf('Source %d', {source})",
        "database": f"printf('db%d', n / {SOURCES} % 3)",
        "source_provider": "'postgres'",
        "instance": "'benchmark'",
        "kind": f"CASE WHEN {_INGESTED} THEN 'ingested' ELSE 'own' END",
        "device": f"CASE WHEN {_INGESTED} THEN printf('Source %d', {source}) END",
        "sender": f"CASE WHEN {_INGESTED} THEN 'cron' END",
        "warning": "0",
        "timed_out": "0",
        "trigger": "'schedule'",
        "tags": '\'{"release": "7"}\'',
        "object_name": "printf('source/db/backup-%d.sql.gz', n)",
        "size": "100000000 + n",
        "stored_size": "30000000 + n",
        "sha256": "lower(hex(randomblob(32)))",
        "warnings": "'[]'",
        "facts": '\'{"pg_dump": "15.9", "server": "15.9"}\'',
        "error": f"CASE WHEN {_DAMAGED} THEN 'the server was not there' END",
        "dump_seconds": "12.5",
        "seconds": "14.25",
        "created_at": time_of,
        "updated_at": time_of,
        "finished_at": time_of,
    }
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
    database.execute(_insert("backupman_backups", columns, "numbers", numbers))


def _drive_files(database: sqlite3.Connection) -> None:
    for position, label in enumerate(DRIVES):
        columns = {
            "id": _uuid(),
            "backup_id": "id",
            "position": str(position),
            "provider": "'local'",
            "label": f"'{label}'",
            "required": "1",
            "status": "status",
            "path": "'/srv/backups/' || object_name",
            "ref": "object_name",
            "sidecar_ref": "object_name || '.json'",
            "size": "stored_size",
            "sha256": "sha256",
            "checksums": "'{}'",
            "attempts": "1",
            "seconds": "1.75",
            "created_at": "created_at",
            "updated_at": "updated_at",
        }
        database.execute(_insert("backupman_drive_files", columns, "backupman_backups"))


def _uuid() -> str:
    pieces = [f"lower(hex(randomblob({size})))" for size in (4, 2, 2, 2, 6)]
    return " || '-' || ".join(pieces)


def _insert(table: str, columns: Mapping[str, Any], rows: str, before: str = "") -> str:
    names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(columns.values())
    return f"INSERT INTO {table} ({names}) {before} SELECT {values} FROM {rows}"
