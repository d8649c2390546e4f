"""A backup's page: what became of it step by step, its copies, its log, who was told, and how to bring it back."""

import shlex
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from backupman.api.keys import Served
from backupman.config.http import Scope
from backupman.daemon import Daemon
from backupman.dashboard.doors import PageRoute, Reader
from backupman.dashboard.pages import render
from backupman.dashboard.sessions import Visit
from backupman.engine.restores import ending_of
from backupman.errors import BusyError, ConfigError
from backupman.records import Backup, Kind, Status
from backupman.retention import FOR_EVER

router = APIRouter(route_class=PageRoute, include_in_schema=False)

BackupId = Annotated[str, Path(max_length=64)]
PINS = {"30": "30 days", "365": "a year", "": "for ever"}
LEVELS = {"checksum": "every byte", "structure": "the whole archive", "restore": "by a drill"}
"""How far a copy is looked at."""

_CONFIG = PurePath("/etc/backupman/config.yml")
"""Where a command finds the config by itself, wherever it is typed."""

_DELIVERIES = 100
_CHECKS = 50


@dataclass(frozen=True)
class Span:
    """A part of the time that a backup took: in seconds since it began, and in hundredths of all of it."""

    name: str
    seconds: float
    state: str
    left: float
    width: float


@router.get("/backups/{backup_id}")
def backup_page(daemon: Served, visit: Reader, request: Request, backup_id: BackupId) -> Response:
    """One backup, by its id, a unique beginning of it, or `latest`."""
    store = daemon.app.store
    backup = daemon.app.backup(backup_id)
    return render(
        request,
        "backup",
        visit,
        backup=backup,
        own=backup.kind == Kind.OWN,
        here=backup.kind == Kind.OWN and backup.instance == daemon.app.config.instance,
        running=[live] if (live := daemon.live.of(backup)) else [],
        spans=spans(backup),
        lines=store.run_logs.of(backup.id),
        manifest=store.proofs.shown(backup),
        checks=store.proofs.verifications(backup.id)[:_CHECKS],
        restores=store.restores.list(backup.id, _CHECKS),
        deliveries=store.outbox.deliveries(backup_id=backup.id, limit=_DELIVERIES),
        command=restore_command(daemon, backup),
        pins=PINS,
        levels=LEVELS,
        for_ever=backup.pinned_until == FOR_EVER,
        verifying=daemon.verifying.is_asked(backup),
        kept=why_kept(daemon, visit, backup),
        drives={drive.label for drive in daemon.app.config.drives},
    )


def why_kept(daemon: Daemon, visit: Visit, backup: Backup) -> str | None:
    """Why it cannot be deleted; nothing when it can, or when the visitor may not."""
    if not visit.may(Scope.ADMIN):
        return None
    try:
        daemon.app.deleter.check(backup)
    except (BusyError, ConfigError) as error:
        return error.sentence
    return None


def spans(backup: Backup) -> list[Span]:
    """The dump and each upload, as far as it is known how long they took."""
    total = max(backup.seconds or 0, backup.dump_seconds or 0, 0.001)
    found = []
    if backup.dump_seconds is not None:
        found.append(("Dump", 0.0, backup.dump_seconds, backup.dump_status))
    for file in backup.drive_files:
        if file.seconds is None:
            continue
        ended = (file.updated_at - backup.created_at).total_seconds() if file.updated_at else total
        ended = min(max(ended, file.seconds), total)
        found.append((file.label, max(0.0, ended - file.seconds), file.seconds, file.status))
    return [
        Span(name, seconds, state, 100 * start / total, max(0.5, 100 * min(seconds, total - start) / total))
        for name, start, seconds, state in found
    ]


def restore_command(daemon: Daemon, backup: Backup) -> str:
    """What to type to get the dump back; nothing when no drive holds it."""
    if not any(file.status == Status.FINISHED for file in backup.drive_files):
        return ""
    ending = ending_of(daemon.app.config, backup)
    name = backup.object_name.rsplit("/", 1)[-1].removesuffix(ending)
    key = " --identity key.txt" if ".age" in ending else ""
    file = daemon.app.config_file.absolute()
    config = "" if file == _CONFIG else f" -c {shlex.quote(str(file))}"
    return f"backupman restore {backup.id[:8]}{key} --output {shlex.quote(name)}{config}"
