"""The task of verifying one copy: everything that the data plane's child may know of it, and nothing of its server."""

import os
from collections.abc import Sequence
from pathlib import Path

from backupman.config import Config
from backupman.data_plane.tasks import Copy, DriveTask, VerifyTask
from backupman.drills import Freshness
from backupman.engine.restores import ending_of, origin_of
from backupman.engine.spools import Spools
from backupman.errors import BackupmanError
from backupman.levels import Level
from backupman.manifest import Manifest
from backupman.records import Backup, DriveFile
from backupman.sources import GLOBALS, Source

_NEEDED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_OF_DRIVES = (
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "GCE_",
    "SSL_CERT_",
    "REQUESTS_CA_",
    "CURL_CA_",
    "HTTP_",
    "HTTPS_",
    "NO_PROXY",
)
"""What the libraries of drives read; passwords of databases have other names."""


def environment() -> dict[str, str]:
    """The environment of a drill: what programs need, and what reaches drives."""
    return {name: value for name, value in os.environ.items() if name in _NEEDED or name.upper().startswith(_OF_DRIVES)}


class VerifyTasks:
    """Makes the tasks of one config."""

    def __init__(self, config: Config, spools: Spools) -> None:
        self._config = config
        self._spools = spools

    def task(
        self, backup: Backup, file: DriveFile, level: Level, identities: Sequence[str], folder: Path
    ) -> VerifyTask:
        """Read a copy back as far as the level says.

        Raises:
            BackupmanError: it cannot be looked at so far, and why.
        """
        drive = self._config.drive(file.label)
        if drive is None:
            raise BackupmanError(f"the drive {file.label!r} is not in the config any more")
        if file.ref is None or file.sha256 is None:
            raise BackupmanError(
                f"{file.label}: no checksum is known; `backupman reconcile --fix` reads it and records one"
            )
        source = self._config.source(backup.source)
        ending = ending_of(self._config, backup)
        if level != "checksum":
            _must_be_readable(backup, source, level, encrypted=ending.endswith(".age"), identities=identities)
        return VerifyTask(
            level=level,
            held=Copy(drive=DriveTask(label=drive.label, settings=drive.revealed()), ref=file.ref),
            path=file.path,
            size=file.size,
            source=source.for_drill() if source else {},
            origin=origin_of(backup),
            folder=folder,
            keep_free=self._spools.keep_free(folder / "dump"),
            sha256=file.sha256,
            ending=ending,
            identities=list(identities) if level != "checksum" else [],
            retry=self._config.retry.policy(),
        )

    def drill(self, task: VerifyTask, backup: Backup, manifest: Manifest | None) -> VerifyTask:
        """The same as a drill: where it restores, what it compares and what it asks."""
        source = self._config.source(backup.source)
        assert source is not None  # noqa: S101 - or there would be no task
        scratch = self._scratch(source) if backup.database != GLOBALS else None
        return task.model_copy(
            update={
                "scratch": scratch.revealed() if scratch else None,
                "database": f"backupman_drill_{backup.id[:8]}",
                "manifest": manifest,
                "assertions": source.assertions,
                "freshness": _asked_of(source.freshness, backup.database),
                "query_timeout": self._config.verify.query_timeout.total_seconds(),
            }
        )

    def _scratch(self, source: Source) -> Source | None:
        return self._config.scratch_server(source.scratch_server) if source.scratch_server else None


def _asked_of(freshness: Freshness | None, database: str) -> str | None:
    return freshness.sql if freshness and freshness.database in (None, database) else None


def _must_be_readable(
    backup: Backup, source: Source | None, level: Level, *, encrypted: bool, identities: Sequence[str]
) -> None:
    if encrypted and not identities:
        raise BackupmanError(
            f"{backup.label}: the backup is encrypted; set verify.identity_file, or use --identity FILE"
        )
    if source is None:
        raise BackupmanError(f"{backup.label}: the source {backup.source!r} is not in the config any more")
    if level == "restore" and not source.restores:
        raise source.cannot_restore()
