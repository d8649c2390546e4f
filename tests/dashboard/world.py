"""A daemon with a past: sources, drives, two months of backups, results of other machines, and what went wrong."""

import random
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from backupman.config.http import Scope
from backupman.events import EventKind
from backupman.manifest import Manifest, TableRows
from backupman.records import Backup, DeliveryState, DriveFile, Event, Incident, Status, Verification, new_id, now
from backupman.store import Store
from backupman.store.backups import BackupFilter
from backupman.store.ingest import Noted, Recipient, Reported
from backupman.store.jobs import Changes
from backupman.store.outbox import Announcement, Attempt
from tests.engine._fleet import Fleet

KEYS = {scope.value: f"bm_{scope.value}-only" for scope in Scope}
KEYS |= {"root": "bm_every-scope", "operator": "bm_operator"}
INSTANCE = "backup-host-1"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.exe\u2066\u200f{{ 7 * 7 }}" + "A" * 10_000
SLOW = ["sh", "-c", "i=0; while [ $i -lt 600 ]; do head -c 200000 /dev/zero; sleep 0.1; i=$((i+1)); done"]
MIB = 2**20
SOURCES = {"orders": 820 * MIB, "shop": 64 * MIB, "blog": 12 * MIB, "analytics": 3100 * MIB, "wiki": 41 * MIB}


def configuration(folder: Path, hook: str, *names: str) -> dict[str, Any]:
    """A config with SQLite sources of these names, two drives, a webhook, and a key for each scope."""
    sources = [{"provider": "sqlite", "label": name, "db_path": str(database(folder / f"{name}.db"))} for name in names]
    return {
        "state_folder": str(folder / "state"),
        "instance": INSTANCE,
        "data_sources": sources,
        "drives": [
            {"provider": "local", "label": "disk", "folder": str(folder / "disk")},
            {"provider": "local", "label": "offsite", "folder": str(folder / "offsite")},
        ],
        "jobs": [{"label": "nightly", "cron": "30 2 * * *", "timezone": "UTC"}],
        "notifiers": {
            "webhook": {"endpoints": [{"name": "Operations", "url": f"{hook}/hook", "token": "t0ken-of-hook"}]}
        },
        "retry": {"attempts": 2, "first_wait": "20ms", "max_wait": "50ms"},
        "spool": {"min_free": "1MiB"},
        "http": {
            "api_keys": [
                KEYS["root"],
                *({"name": scope.value, "key": KEYS[scope.value], "scopes": [scope.value]} for scope in Scope),
                {"name": "operator", "key": KEYS["operator"], "scopes": ["read", "run", "download"]},
            ]
        },
    }


def database(path: Path) -> Path:
    """A small SQLite file."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("create table if not exists users (name text)")
        file.executemany("insert into users values (?)", [("Ada",), ("Grace",)])
    return path


def past(
    store: Store,
    source: str,
    at: datetime,
    *,
    size: int = MIB,
    status: Status = Status.FINISHED,
    error: str | None = None,
    drives: tuple[str, ...] = ("disk", "offsite"),
    verified: bool = False,
    proved: bool = False,
    endpoints: tuple[str, ...] = (),
    kind_told: EventKind = EventKind.BACKUP_REPORT,
    **fields: Any,
) -> Backup:
    """A backup that has ended at some time, with its copies, its events and what is owed for them."""
    backup_id = new_id()
    digest = sha256(backup_id.encode()).hexdigest()
    name = f"{source}/backup-{at:%Y%m%d%H%M%S}-{backup_id[:8]}.sqlite.gz"
    good = status == Status.FINISHED
    files = [
        DriveFile(
            backup_id=backup_id,
            position=place,
            provider="local",
            label=label,
            status=status,
            path=f"/srv/{label}/{name}",
            ref=f"/srv/{label}/{name}" if good else None,
            size=size if good else None,
            sha256=digest if good else None,
            attempts=1,
            seconds=1.7 if good else None,
            created_at=at,
            verified_at=at + timedelta(hours=3) if (verified or proved) and good else None,
            proved_at=at + timedelta(hours=3) if proved and good else None,
        )
        for place, label in enumerate(drives)
    ]
    backup = Backup(
        id=backup_id,
        status=status,
        dump_status=status,
        label=source,
        job="nightly",
        source=source,
        database=source,
        source_provider="sqlite",
        instance=INSTANCE,
        trigger="schedule",
        object_name=name,
        size=size * 3 if good else None,
        stored_size=size if good else None,
        sha256=digest if good else None,
        error=error,
        dump_seconds=9.1,
        seconds=12.4,
        created_at=at,
        updated_at=at + timedelta(seconds=12),
        finished_at=at + timedelta(seconds=12),
        drive_files=files,
        **fields,
    )
    return store.backups.begin(backup, [Announcement(kind_told, endpoints)])


def two_months(store: Store) -> None:
    """Sixty nights of every source, some of them bad, and three other machines."""
    chance, tonight = random.Random(7), now().replace(hour=2, minute=30, second=0, microsecond=0)  # noqa: S311 - no secret
    if tonight > now() - timedelta(minutes=30):
        tonight -= timedelta(days=1)
    for source, size in SOURCES.items():
        for night in range(59, -1, -1):
            at = tonight - timedelta(days=night) + timedelta(seconds=chance.randrange(90))
            grown = int(size * (1 - night / 190) * chance.uniform(0.985, 1.015))
            bad = (source == "orders" and night < 3) or (source == "blog" and night in (17, 18, 41))
            why = f"{source}: the server closed the connection unexpectedly: look at its log" if bad else None
            status = Status.FAILED if bad else Status.FINISHED
            told = ("webhook/Operations",) if night < 2 else ()
            made = past(
                store,
                source,
                at,
                size=grown,
                status=status,
                error=why,
                verified=night % 7 == 2 and source != "wiki",
                proved=night == 5 and source in ("shop", "blog", "analytics"),
                endpoints=told,
                kind_told=EventKind.BACKUP_FAILURE if bad else EventKind.BACKUP_REPORT,
            )
            if any(file.proved_at for file in made.drive_files):
                drill(store, made, at + timedelta(hours=3), 12.0 + size / 2**27)
            if night < 2:
                store.proofs.keep_manifest(made.id, tables(source, night))
    store.run_logs.append(store.backups.get("latest").id, INSTANCE, LINES)
    incident = Incident(
        instance=INSTANCE, kind=EventKind.BACKUP_LATE, job="nightly", source="orders", database="orders",
        due_at=tonight - timedelta(days=2), opened_at=tonight - timedelta(days=2), reminded_at=tonight,
    )  # fmt: skip
    store.jobs.change_incidents(Changes(opened=[incident]), now())
    elsewhere(store, tonight)


def tables(source: str, night: int) -> Manifest:
    """What was in the dump of one of the last nights."""
    names = ("customers", "orders", "payments", "sessions" if night else "visits")
    rows = [TableRows(name=f"{source}.{name}", rows=4_001 * 7**place - 91 * night) for place, name in enumerate(names)]
    return Manifest(provider="sqlite", facts={}, tables=rows)


def drill(store: Store, made: Backup, at: datetime, seconds: float) -> None:
    """A drill that has restored the first copy of a backup."""
    found = {"RestoreSeconds": seconds, "Tables": 41, "Rows": 1_204_331, "Compared": True}
    check = Verification(
        backup_id=made.id, instance=INSTANCE, drive="disk", level="restore", good=True, at=at, seconds=seconds + 9,
        details=found,
    )  # fmt: skip
    store.proofs.verified(check, made.drive_files[0].id)


LINES = [
    "2026-11-21 02:30:00 INFO the dump begins",
    "2026-11-21 02:30:09 INFO dumped 123 MiB, 41.0 MiB after gzip",
    "2026-11-21 02:30:11 INFO disk: uploaded 41.0 MiB",
    "2026-11-21 02:30:12 WARNING offsite: the connection was reset; trying again in 1 s",
    "2026-11-21 02:30:12 INFO finished in 12 s",
]


def elsewhere(store: Store, tonight: datetime) -> None:
    """What two other machines told."""
    us = Recipient(INSTANCE, "scripts")
    for night in range(30):
        at = tonight - timedelta(days=night)
        for device, job, status in (
            ("web-1", "Nightly rsync", "warning" if night == 4 else "success"),
            ("web-1", "Configuration", "success"),
            ("nas", "Snapshots", "failed" if night == 9 else "success"),
        ):
            store.ingest.backup(Reported(device, job, at, status, "done", "scripts@office", 43.0), us)
    for severity, kind in (("info", "update"), ("warning", "disk"), ("critical", "raid"), ("error", "smart")):
        told = Noted("nas", now() - timedelta(hours=3), severity, kind, "Snapshots", f"{kind} of the nas needs a look")
        store.ingest.notification(told, us)


def hostile(store: Store) -> None:
    """Backups whose names, paths and errors are meant to do harm."""
    name = HOSTILE[:200]
    past(store, name, now() - timedelta(days=1), drives=(name, "disk"))
    failed = past(store, name, now(), status=Status.FAILED, error=HOSTILE, drives=(name, "disk"), comment=HOSTILE)
    told = Reported(name, name, now(), HOSTILE[:250], HOSTILE, name)
    store.ingest.backup(told, Recipient(INSTANCE))
    store.ingest.notification(Noted(name, now(), "critical", name, name, HOSTILE), Recipient(INSTANCE))
    store.run_logs.append(failed.id, INSTANCE, [HOSTILE])
    store.proofs.keep_manifest(
        failed.id, Manifest(provider="sqlite", facts={}, tables=[TableRows(name=HOSTILE, rows=1)])
    )


def crew(fleet: Fleet) -> None:
    """Workers that are busy, idle, lost and stopped, and a queue that nobody takes from."""
    at = now()
    store, busy = fleet.store, fleet.worker("db-eu-1", "eu-west", "orders", takes_any=True)
    for source, minutes in (("orders", 41), ("analytics", 3)):
        taken = fleet.work("eu-west", source, at=at - timedelta(minutes=minutes), by=busy)
        store.assignments.began(taken.id, [new_id()])
    sending = fleet.worker("db-eu-2.internal.example.com", "eu-west", takes_any=True)
    fleet.work("any", "", by=sending, kind="deliver", job="")
    fleet.worker("db-eu-3", "eu-west")
    fleet.worker("db-us-1", "us-east", lives=False, heard_at=at - timedelta(minutes=7))
    fleet.worker("db-old", takes_any=True, lives=False, heard_at=at - timedelta(days=2), stopped_at=at)
    for queue, source, minutes in (("us-east", "shop", 12), ("us-east", "blog", 11), ("eu-west", "wiki", 2)):
        fleet.work(queue, source, at=at - timedelta(minutes=minutes))


def deliveries(store: Store) -> None:
    """Some that arrived, one that is tried again and one that was given up."""
    due = store.outbox.claim(INSTANCE, 100, timedelta(minutes=1))
    for number, delivery in enumerate(due):
        assert delivery.id is not None
        state = [DeliveryState.DELIVERED, DeliveryState.DELIVERED, DeliveryState.FAILED][number % 3]
        answer = "200 OK" if state == DeliveryState.DELIVERED else None
        error = None if answer else "webhook/Operations: 500 Internal Server Error: out of paper"
        store.outbox.record(delivery.id, Attempt(1, state, now(), 0.21, answer, error))


def pages(store: Store) -> dict[str, str]:
    """Every page by a short name, of a store with `two_months`."""
    newest = store.backups.list(BackupFilter(status="finished"), limit=1)[0].id
    failed = store.backups.list(BackupFilter(status="failed"), limit=1)
    found = {"overview": "/", "history": "/backups", "backup": f"/backups/{newest}"}
    found |= {name: f"/{name}" for name in ("jobs", "storage", "deliveries", "events", "notifications", "notifiers")}
    found |= {"config": "/config", "event": f"/events/{an_event(store).id}"}
    return found | ({"failed": f"/backups/{failed[0].id}"} if failed else {})


def an_event(store: Store) -> Event:
    """The newest event."""
    return store.outbox.events(limit=1)[0]
