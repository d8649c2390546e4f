"""The parent's side of a restore: which copies there are, how they were packed, and where the dump goes."""

import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from backupman.config import Config
from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Message
from backupman.data_plane.tasks import Copy, DriveTask, Packed, RestoreTask
from backupman.drives import PART
from backupman.drives._files import create, give_name, new, withdraw
from backupman.errors import ConfigError, NotFoundError, RestoreError
from backupman.pipeline.compression import SUFFIXES as METHODS
from backupman.records import Backup, Status
from backupman.sources import GLOBALS, Origin
from backupman.store import Store
from backupman.store.backups import BackupFilter
from backupman.text import few

log = logging.getLogger(__name__)

_ENDING = re.compile(r"/backup-\d{14}-[0-9a-f]{8}(?P<ending>\.[^/]*)?$")
_LOOKED_AT = 1000


def newest(config: Config, store: Store, source: str | None, database: str | None) -> Backup:
    """The newest backup with a copy, of the config's sources, or of one that may have left it, and of a database.

    Roles and accounts have to be named, and a database of a source that has several.

    Raises:
        NotFoundError: there is none.
        ConfigError: of which of several databases, is not said.
    """
    sources, wanted = [source] if source else config.source_labels, BackupFilter(source=source, database=database)
    found = _newest_kept(store, wanted, sources)
    if not found and not source:  # the newest of all may be of others alone, whose configs share the records
        each = (_newest_kept(store, replace(wanted, source=label), sources) for label in sources)
        found = max((backup for backup in each if backup), key=lambda backup: backup.created_at, default=None)
    if found:
        if database is None:
            _must_be_the_only_one(store, found)
        return found
    whose = f" of {'/'.join(filter(None, (source, database)))}" if source or database else ""
    if not whose and store.backups.list(limit=1):
        whose = " of a source of this config"
    raise NotFoundError(
        f"no backup{whose} with a copy is on record here: see `backupman list`, and `backupman reconcile` for what the "
        "drives hold"
    )


def _must_be_the_only_one(store: Store, backup: Backup) -> None:
    copies = store.statistics.newest(store.statistics.own_series([backup.source]))
    databases = sorted({copy.series.database for copy in copies} - {GLOBALS})
    if len(databases) > 1:
        raise ConfigError(
            f"{backup.source} has several databases on record ({few(databases)}): say whose latest backup it is, by "
            f"--source {shlex.quote(backup.source)} --database NAME"
        )


def _newest_kept(store: Store, wanted: BackupFilter, sources: Collection[str]) -> Backup | None:
    for backup in store.backups.list(wanted, limit=_LOOKED_AT):
        if backup.source not in sources or (backup.database == GLOBALS and wanted.database != GLOBALS):
            continue
        if any(file.status == Status.FINISHED for file in backup.drive_files):
            return backup
    return None


def origin_of(backup: Backup) -> Origin:
    """The dump as its tool has written it, whatever its source's settings are today."""
    ending = _ending(backup).removesuffix(".age")
    for method in METHODS.values():
        ending = ending.removesuffix(method)
    return Origin(backup.database, ending, backup.facts)


def _ending(backup: Backup) -> str:
    found = _ENDING.search(backup.object_name)
    return (found["ending"] or "") if found else ""


def ending_of(config: Config, backup: Backup) -> str:
    """What the pipeline has added to the object's name, for example `.gz.age`."""
    ending = _ending(backup)
    source = config.source(backup.source)
    # A program's own dump may be called .gz before the pipeline has touched it.
    return ending.removeprefix(source.suffix_of(backup.database)) if source else ending


def write_dump(
    config: Config,
    backup: Backup,
    identities: Sequence[str],
    output: Path | None,
    handle: Callable[[Message], None],
    from_drive: str | None = None,
) -> None:
    """Write a backup's dump, as its tool has written it, to a new file or (None) to standard output.

    Raises:
        ConfigError: a name is taken, a drive does not hold it, or an identity is missing.
        BackupmanError: no copy is good; no file is left.
    """
    how = packed(config, backup, identities)
    copies = copies_of(config, backup, from_drive)
    with _output(backup, output) as fd:
        task = RestoreTask(label=backup.label, copies=copies, **dict(how))
        DataPlane().run(task, handle, hand_over=(fd,))


def packed(config: Config, backup: Backup, identities: Sequence[str]) -> Packed:
    """How the dump is packed in its copies. Raises ConfigError where it is encrypted and there is no identity."""
    ending = ending_of(config, backup)
    if ending.endswith(".age") and not identities:
        raise ConfigError(
            f"{backup.label}: the backup is encrypted; name the file of its age identity: --identity FILE"
        )
    if backup.sha256 is None:
        log.warning(
            "%s: no checksum of this backup is on record: nobody can tell whether its copy is whole", backup.label
        )
    return Packed(sha256=backup.sha256 or "", ending=ending, identities=list(identities), retry=config.retry.policy())


def copies_of(config: Config, backup: Backup, only: str | None) -> list[Copy]:
    """The copies on the drives of the config, in its order. Raises NotFoundError where there is none."""
    held = {file.label: file for file in backup.drive_files if file.status == Status.FINISHED and file.ref}
    drives = [drive for drive in config.drives if drive.label in held and only in (None, drive.label)]
    if drives:
        tasks = [DriveTask(label=drive.label, settings=drive.revealed()) for drive in drives]
        return [Copy(drive=task, ref=held[task.label].ref or "") for task in tasks]
    if only:
        where = f"; {' and '.join(held)} would" if held else ""
        raise NotFoundError(f"{backup.label}: the drive {only!r} does not hold backup {backup.id[:8]}{where}")
    if held:
        raise NotFoundError(f"{backup.label}: the drive {next(iter(held))!r} is not in the config any more")
    raise NotFoundError(f"{backup.label}: no drive holds backup {backup.id[:8]}; see `backupman show {backup.id[:8]}`")


@contextmanager
def _output(backup: Backup, output: Path | None) -> Iterator[int]:
    """A descriptor to write to; a file gets its name at a clean exit, and is gone after any other."""
    if output is None:
        sys.stdout.flush()
        copy = os.dup(sys.stdout.fileno())  # the child's own standard output is the line to us
        try:
            yield copy
        finally:
            os.close(copy)
        return
    output = output.absolute()
    if os.path.lexists(output):  # not Path.exists, which raises where a folder may not be entered: making it says so
        raise ConfigError(f"{output} is there already, and nothing is overwritten: name another file, or move it away")
    part = output.with_name(output.name + PART)
    made: tuple[Path, ...] = ()
    try:
        fd, made = create(part, new)
    except FileExistsError as error:
        raise ConfigError(f"{part} is there: another restore is under way, or has died; remove it then") from error
    except OSError as error:
        raise RestoreError(f"{backup.label}: {part} cannot be made: {error.strerror}") from error
    try:
        try:
            yield fd
        finally:
            os.close(fd)
        give_name(part, output, made)
    except FileExistsError as error:
        withdraw(part, made)
        raise RestoreError(f"{backup.label}: {output} was made by somebody else meanwhile") from error
    except OSError as error:
        withdraw(part, made)
        raise RestoreError(f"{backup.label}: {output} cannot be written: {error.strerror}") from error
    except BaseException:
        withdraw(part, made)
        raise
