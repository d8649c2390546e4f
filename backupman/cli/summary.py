"""What came of a run, for a tired reader: a line for each backup, every error in full, and where to look next."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console

from backupman.cli.call import Call
from backupman.cli.output import console, counted, paragraph, print_json, print_marked, size, span, unlabelled
from backupman.errors import ExitCode
from backupman.events import BackupExtended
from backupman.records import Backup, Delivery, DeliveryState, Status
from backupman.text import listed

if TYPE_CHECKING:
    from backupman.app import App
    from backupman.engine.calls import Result


def tell(call: Call, app: "App", result: "Result", code: ExitCode, *, as_json: bool) -> None:
    """Say it on standard output; what is wrong beside the backups on standard error too."""
    if as_json:
        print_json(
            {
                "Results": [BackupExtended.of(backup).document() for backup in result.backups],
                "Busy": result.busy,
                "Errors": [error.sentence for error in result.errors],
                "Owed": app.store.outbox.owed(app.config.instance),
                "Interrupted": result.interrupted,
            }
        )
    elif not call.quiet:
        _backups(call, result, console())
    err = console(stderr=True)
    if call.quiet and code != ExitCode.OK:
        _backups(call, result, err)
    for label in result.busy:
        print_marked("warning", f"{label} is being backed up already; wait for it, or use --wait", err)
    for error in result.errors:
        print_marked("failed", error.sentence, err)
    if code == ExitCode.FAILED and not (result.backups or result.errors or result.busy):
        print_marked("failed", "nothing was backed up: the sources hold no database", err)
    if result.interrupted:
        print_marked("warning", "interrupted: what was under way has been ended", err)
    _messages(call, app, result, err)


def _backups(call: Call, result: "Result", out: Console) -> None:
    for backup in result.backups:
        print_marked(backup.status, _headline(backup), out)
        if backup.status != Status.FINISHED:
            out.print(paragraph(backup.error or "it is not known why", 4, out), soft_wrap=True)
        for file in backup.drive_files:
            if file.status == Status.FAILED and backup.status == Status.FINISHED:
                out.print(paragraph(f"! not on {file.label}: {file.error}", 4, out), soft_wrap=True)
        for warning in backup.warnings:
            out.print(paragraph(f"! {warning}", 4, out), soft_wrap=True)
    if result.backups:
        _totals(call, result, out)
    elif not (result.busy or result.errors or result.interrupted):
        out.print("There is nothing to do.")


def _headline(backup: Backup) -> str:
    """`shop: 1.4 GiB in 14 s, 410 MiB on disk and s3`."""
    if backup.status != Status.FINISHED:
        return f"{backup.label}: failed after {span(backup.seconds)}"
    kept = listed([file.label for file in backup.drive_files if file.status == Status.FINISHED])
    return f"{backup.label}: {size(backup.size)} in {span(backup.seconds)}, {size(backup.stored_size)} on {kept}"


def _totals(call: Call, result: "Result", out: Console) -> None:
    failed = [backup for backup in result.backups if backup.status != Status.FINISHED]
    finished = len(result.backups) - len(failed)
    parts = [counted(finished, "backup") + " finished" if finished else "", f"{len(failed)} failed" if failed else ""]
    parts.append(f"{len(result.busy)} busy" if result.busy else "")
    out.print()
    out.print(", ".join(part for part in parts if part) + ".")
    newest = (failed or result.backups)[0]
    out.print(f"Look closer:  {call.again('show', newest.id[:8])}", soft_wrap=True)
    if failed:
        again = ["retry", failed[0].id[:8]] if len(failed) == 1 else ["retry", "--all"]
        out.print(f"Try again:    {call.again(*again)}", soft_wrap=True)


def _messages(call: Call, app: "App", result: "Result", err: Console) -> None:
    """Who was not told, why, and what to do."""
    from backupman.app import endpoints

    ours = {backup.id for backup in result.backups}
    owed = app.store.outbox.deliveries(DeliveryState.OWED, limit=1000, instance=app.config.instance)
    lost = [each for each in app.store.outbox.deliveries(DeliveryState.FAILED) if each.event.backup_id in ours]
    known, again = endpoints(app.config), call.again("deliveries", "retry")
    for endpoint, deliveries in _by_endpoint(owed).items():
        print_marked("warning", f"{endpoint} is still owed {_what(endpoint, deliveries)}", err)
        if endpoint in known:
            err.print(f"  The next run sends again; at once: {again}", soft_wrap=True)
        else:
            drop = call.again("deliveries", "drop", "--endpoint", endpoint)
            err.print(
                f"  It is not in this config: the one that has it sends again; if none has: {drop}", soft_wrap=True
            )
    for endpoint, deliveries in _by_endpoint(lost).items():
        print_marked("failed", f"{endpoint} did not take {_what(endpoint, deliveries)}", err)
        err.print(f"  When that is mended: {again}", soft_wrap=True)


def _by_endpoint(deliveries: Iterable[Delivery]) -> dict[str, list[Delivery]]:
    found: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.endpoint, []).append(delivery)
    return found


def _what(endpoint: str, deliveries: list[Delivery]) -> str:
    errors = [unlabelled(delivery.error, endpoint) for delivery in deliveries if delivery.error]
    return counted(len(deliveries), "message") + (f": {errors[0]}" if errors else "")
