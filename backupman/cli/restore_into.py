"""A restore into a database: where it goes, the question before something is replaced, and what came of it."""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from backupman.cli.call import Call
from backupman.cli.delivering import deliver
from backupman.cli.interrupts import interruptible
from backupman.cli.options import known, typed_password
from backupman.cli.restore import Shown
from backupman.cli.run import operator
from backupman.errors import ConfigError, Interrupted
from backupman.logs import hide_secrets
from backupman.naming import LATEST
from backupman.text import here

if TYPE_CHECKING:
    from backupman.app import App
    from backupman.engine.targets import Destination
    from backupman.records import Backup

PASSWORD = "BACKUPMAN_RESTORE_PASSWORD"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class Wanted:
    """What the options say of it."""

    to_database: str | None
    to_source: str | None
    url: str | None
    tables: Sequence[str]
    jobs: int | None
    clean: bool
    yes: bool
    from_drive: str | None
    identities: Sequence[str]


def restore_into(call: Call, name: str, source: str | None, database: str | None, wanted: Wanted) -> None:
    """Restore a backup into a database, and tell whom the config wants told."""
    from backupman.data_plane import DataPlane
    from backupman.engine.restores import newest
    from backupman.engine.restoring import RestoreOrder
    from backupman.errors import BackupmanError

    with call.app() as app:
        if wanted.from_drive is not None:
            known("drive", wanted.from_drive, app.config.drive_labels)
        backup = newest(app.config, app.store, source, database) if name == LATEST else app.backup(name)
        destination = _destination(app, backup, wanted)
        order = RestoreOrder(
            backup=backup,
            destination=destination,
            identities=wanted.identities,
            from_drive=wanted.from_drive,
            tables=wanted.tables,
            jobs=wanted.jobs,
            operator=operator(),
        )
        hide_secrets(destination.source.redact)
        _leave_to_us(call)
        app.restorer.check(order)  # before anybody is asked anything
        _confirm(destination, yes=wanted.yes)
        shown = Shown(call, backup)
        try:
            with app.dispatcher.beside(), interruptible(), shown.live():
                restore = app.restorer.restore(order, DataPlane(), shown.heard)
        except KeyboardInterrupt:
            raise Interrupted(f"{backup.label}: the restore was interrupted") from None
        if restore.error is None:
            shown.ended(f"restored into {restore.target}", restore.warnings)
        deliver(app)
    if restore.error is not None:
        raise BackupmanError(restore.error)


def _leave_to_us(call: Call) -> None:
    """Keep from the log what is shown anyway."""
    if not (call.verbose or call.debug):
        for name in ("restoring", "dispatcher"):
            logging.getLogger(f"backupman.engine.{name}").setLevel(logging.CRITICAL)


def _destination(app: "App", backup: "Backup", wanted: Wanted) -> "Destination":
    from backupman.engine.targets import into_server, into_source

    at = here(datetime.now(UTC))
    if wanted.url:
        return into_server(backup, at, wanted.url, _password, name=wanted.to_database, clean=wanted.clean)
    return into_source(app.config, backup, at, label=wanted.to_source, name=wanted.to_database, clean=wanted.clean)


def _password(account: str) -> str:
    """From the environment, else from a terminal; without either none."""
    if (given := os.environ.get(PASSWORD)) is not None:
        return given
    return typed_password(account)


def _confirm(destination: "Destination", *, yes: bool) -> None:
    """Raise ConfigError unless what is replaced was named."""
    if yes or not destination.replaces:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"this replaces {destination.replaced}: say --yes if that is meant")
    said = typer.prompt(
        f"This replaces {destination.replaced}.\nType {destination.name} to go on",
        default="",
        show_default=False,
        err=True,
    )
    if said != destination.name:
        raise ConfigError(f"{said!r} is not {destination.name!r}: nothing was done")
