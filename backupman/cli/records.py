"""`list` and `show`: what was backed up, in short and in full."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backupman.cli import completing
from backupman.cli.call import Call
from backupman.cli.options import BackupName, Json, Limit, limited, moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backupman.records import Backup
    from backupman.store import Store


def list_backups(
    call: Call,
    status: Annotated[
        Literal["pending", "finished", "failed"] | None, typer.Option(help="Only backups of this status.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="Only this source, or this database of it: shop or shop/orders.",
            autocompletion=completing.sources,
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only newer ones: 2d, 2026-03-01, …")] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """What was backed up, the newest first.

    \b
    Examples:
      backupman list
      backupman list --status failed --since 7d
      backupman list --label shop --json | jq '.Results[0].DriveFiles'
    """
    from backupman.cli.output import console, print_json
    from backupman.events import BackupExtended
    from backupman.registry import nearest
    from backupman.store.backups import BackupFilter

    after = moment("--since", since, datetime.now(UTC)) if since else None
    count = limited(limit, as_json=as_json)
    with call.records() as (config, store):
        of_source = label is not None and (config.source(label) is not None or _was_a_source(store, label))
        source, label = (label, None) if of_source else (None, label)
        wanted = BackupFilter(status=status, since=after, source=source, label=label)
        backups = store.backups.list(wanted, limit=count + 1)
    if as_json:
        print_json({"Results": [BackupExtended.of(backup).document() for backup in backups[:count]]})
        return
    out = console()
    if not backups:
        narrowed = any((status, label, source, since))
        hint = nearest(label, [each.label for each in config.data_sources]) if label else ""
        nothing = f"There is no backup on record. Make one: {call.again('run')}"
        there = f"If drives have some already: {call.again('reconcile')}"
        out.print(f"No backup fits{hint or '.'}" if narrowed else f"{nothing}\n{there}", soft_wrap=True)
        return
    out.print(_table(backups[:count]))
    if len(backups) > count:
        out.print(f"\nThe newest {count}; more with --limit.")


def _was_a_source(store: "Store", label: str) -> bool:
    """Whether backups are of a source of that label, which has left the config; their own labels name databases too."""
    from backupman.store.backups import BackupFilter

    return bool(store.backups.list(BackupFilter(source=label), limit=1))


def _table(backups: "Sequence[Backup]") -> object:
    from backupman.cli.output import local, mark, one_line, size, table
    from backupman.records import Status

    found = table("ID", "STATUS", "LABEL", "BEGAN", "STORED", "DRIVES")
    for column in (1, 3, 4, 5):
        found.columns[column].no_wrap = True
    found.columns[4].justify = found.columns[5].justify = "right"
    for backup in backups:
        kept = [file for file in backup.drive_files if file.status == Status.FINISHED]
        bad = sum(file.verify_error is not None for file in kept)
        found.add_row(
            backup.id[:8],
            mark(backup.status),
            one_line(backup.label, 1000),
            local(backup.created_at),
            size(backup.stored_size) or "-",
            f"{len(kept)} of {len(backup.drive_files)}{f', {bad} bad' if bad else ''}",
        )
    return found


def show(
    call: Call,
    name: BackupName,
    log: Annotated[bool, typer.Option("--log", help="The lines that were logged about it, and nothing else.")] = False,
    as_json: Json = False,
) -> None:
    """Everything that is known of one backup.

    \b
    Examples:
      backupman show latest
      backupman show latest --log
      backupman show 1a2b3c4d --json
    """
    from backupman.cli import details
    from backupman.cli.output import print_json, printable
    from backupman.events import BackupExtended

    with call.records() as (config, store):
        backup = store.backups.get(name, config.source_labels)
        lines = store.run_logs.of(backup.id) if log else []
        manifest = None if log else store.proofs.shown(backup)
        restores = [] if as_json or log else store.restores.list(backup.id)
        deliveries = [] if as_json or log else store.outbox.deliveries(backup_id=backup.id, limit=None)
    if log and as_json:
        print_json({"Id": backup.id, "Lines": lines})
    elif log:
        typer.echo("\n".join(printable(line) for line in lines) or "Nothing was kept of its log.")
    elif as_json:
        known = {"Manifest": manifest.document()} if manifest else {}
        print_json(BackupExtended.of(backup).document() | known)
    else:
        details.tell(call, backup, list(reversed(deliveries)), manifest, restores)
