"""Everything that is known of one backup, in blocks that can be read one by one."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from backupman.cli.call import Call
from backupman.cli.output import (
    console,
    counted,
    local,
    mark,
    one_line,
    paragraph,
    print_marked,
    print_rows,
    size,
    span,
    unlabelled,
)
from backupman.cli.tables import tables
from backupman.manifest import ManifestShown
from backupman.records import Backup, Delivery, DeliveryState, DriveFile, Restore, Status, now
from backupman.retention import FOR_EVER

_TRIGGERS = {
    "manual": "by hand",
    "schedule": "by the schedule",
    "retry": "as a retry",
    "api": "over the API",
    "import": "by the Go program",
}
_ENDS = {"finished": "stored", "failed": "failed"}


def tell(
    call: Call,
    backup: Backup,
    deliveries: Sequence[Delivery],
    manifest: ManifestShown | None = None,
    restores: Sequence[Restore] = (),
) -> None:
    """All blocks, on standard output; `deliveries` are the backup's, the oldest first."""
    out = console()
    out.print(mark(backup.status).append(f"  {one_line(backup.label, 1000)}", style="bold default"))
    if backup.error:
        out.print(paragraph(backup.error, 2, out), soft_wrap=True)
    print_rows(_facts(backup), out)
    _heading(out, "Timeline")
    print_rows([(local(at, seconds=True), what) for at, what in _timeline(backup, deliveries)], out)
    _heading(out, "Drives")
    for file in backup.drive_files:
        _drive(out, backup, file)
    if manifest and (manifest.tables or manifest.gone):
        _heading(out, "Tables")
        tables(manifest, out)
    if backup.warnings:
        _heading(out, "Warnings")
        for warning in backup.warnings:
            print_marked("warning", warning, out, indent=2)
    _restores(out, restores)
    if deliveries:
        _heading(out, "Messages")
        for delivery in deliveries:
            _delivery(out, delivery)
    if backup.retryable and backup.trigger != "import":
        out.print(f"\nTry again: {call.again('retry', backup.id[:8])}", soft_wrap=True)


def _facts(backup: Backup) -> list[tuple[str, str | None]]:
    by = f"by {backup.operator}" if backup.operator else _TRIGGERS.get(backup.trigger, backup.trigger)
    database = f", database {backup.database}" if backup.database else ""
    return [
        ("Id", backup.id),
        ("Doing", backup.phase),
        ("Source", f"{backup.source} ({backup.source_provider}){database}"),
        ("Job", f"{backup.job}, started {by} on {backup.instance}"),
        ("Comment", backup.comment),
        ("Tags", ", ".join(f"{name}={value}" for name, value in backup.tags.items())),
        ("Dumped", _bytes(backup.size) + _took(backup.dump_seconds)),
        ("Stored", _bytes(backup.stored_size)),
        ("SHA-256", backup.sha256),
        ("Waits in", backup.dump_path),
        ("Pinned", _pinned(backup.pinned_until)),
        ("Facts", ", ".join(f"{name} {value}" for name, value in backup.facts.items())),
    ]


def _pinned(until: datetime | None) -> str | None:
    if until is None or until <= now():
        return None
    return "for ever" if until == FOR_EVER else f"until {local(until)}"


def _timeline(backup: Backup, deliveries: Sequence[Delivery]) -> list[tuple[datetime, str]]:
    moments = [(backup.created_at, "began")]
    moments += [
        (file.updated_at, f"{_ENDS[file.status]} on {file.label}")
        for file in backup.drive_files
        if file.updated_at and file.status in _ENDS and backup.dump_status == Status.FINISHED
    ]
    if backup.finished_at:
        moments.append((backup.finished_at, backup.status + _took(backup.seconds, "after")))
    moments += [
        (delivery.settled_at, f"{delivery.event.kind} {delivery.state} to {delivery.endpoint}")
        for delivery in deliveries
        if delivery.settled_at and delivery.state == DeliveryState.DELIVERED
    ]
    return sorted(moments, key=lambda moment: moment[0])


def _drive(out: Console, backup: Backup, file: DriveFile) -> None:
    what = f"{file.label} ({file.provider}{'' if file.required else ', not required'}): "
    if backup.dump_status == Status.FAILED:
        print_marked(file.status, f"{what}there was no dump to store", out, indent=2)
    elif file.status == Status.FINISHED:
        print_marked(file.status, f"{what}stored{_took(file.seconds)}", out, indent=2)
        rows = [("Path", file.path), ("Size", _bytes(file.size)), ("SHA-256", file.sha256)]
        if file.verify_error:
            rows.append(("Bad", unlabelled(file.verify_error, file.label)))
        if file.verified_at:
            rows.append(("Read back", f"{local(file.verified_at)}, every byte was right"))
        if file.proved_at:
            rows.append(("Proved", f"{local(file.proved_at)}, restored by a drill"))
        if file.trashed_at:
            rows.append(("Trash", f"since {local(file.trashed_at)}; `backupman pin` keeps it"))
        print_rows(rows, out, indent=4)
    else:
        tries = f" after {counted(file.attempts, 'try', 'tries')}" if file.attempts else ""
        print_marked(file.status, f"{what}{file.status}{tries}", out, indent=2)
        if file.error:
            out.print(paragraph(unlabelled(file.error, file.label), 4, out), soft_wrap=True)


def _restores(out: Console, restores: Sequence[Restore]) -> None:
    if restores:
        _heading(out, "Restores")
    for restore in restores:
        took = f", {span(restore.seconds)}" if restore.seconds is not None else ""
        what = f"{restore.status} into {one_line(restore.target, 1000)}, {local(restore.created_at)}{took}"
        print_marked(restore.status, what, out, indent=2)
        if restore.error:
            out.print(paragraph(restore.error, 4, out), soft_wrap=True)


def _delivery(out: Console, delivery: Delivery) -> None:
    what = f"{delivery.event.kind} to {delivery.endpoint}: {delivery.state}"
    print_marked(delivery.state, what, out, indent=2)
    for attempt in delivery.history:
        said = one_line(unlabelled(attempt.error or attempt.answer or "", delivery.endpoint), 500)
        out.print(paragraph(f"{local(attempt.at, seconds=True)}  {said}", 4, out), soft_wrap=True)
    if delivery.state == DeliveryState.OWED:
        out.print(f"    {local(delivery.next_attempt_at, seconds=True)}  the next attempt is due", soft_wrap=True)


def _heading(out: Console, text: str) -> None:
    out.print()
    out.print(Text(text, style="bold"))


def _took(seconds: float | None, word: str = "in") -> str:
    """What stands behind a deed; nothing where nobody knows how long it took."""
    return f" {word} {span(seconds)}" if seconds is not None else ""


def _bytes(count: int | None) -> str:
    """`1.4 GiB (1,503,238,553 bytes)`."""
    if count is None or count < 1024:
        return size(count)
    return f"{size(count)} ({count:,} bytes)"
