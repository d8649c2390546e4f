"""`exec`: wraps the command of a cron script, and records what came of it like a backup."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.interrupts import interruptible
from backupman.cli.options import DrainTimeout, duration
from backupman.errors import BackupmanError, ConfigError

if TYPE_CHECKING:
    from datetime import timedelta

    from backupman.cli.wrapped import Ended

_NAME_LENGTH = 255


def execute(
    call: Call,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The command and its arguments.")],
    job: Annotated[str, typer.Option("--job", metavar="NAME", help="The name of the backup that the command makes.")],
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where it is made; default `instance`, the host's name.")
    ] = None,
    sender: Annotated[
        str | None, typer.Option(metavar="NAME", help="What makes it; default as in the ingest API, unknown@ingest.")
    ] = None,
    drain_timeout: DrainTimeout = "30s",
) -> None:
    """Run a command and record what came of it as the result of a backup.

    Input, output, signals and the exit code pass through. The last lines of the output are kept with the result, which
    stands in the same history, deadlines and messages as backups of our own. Whatever is wrong here, the command is
    run.

    \b
    Examples:
      backupman exec --job "Nightly rsync" -- rsync -a /srv/ backup:/srv/
      backupman exec --job offsite --device nas -- /usr/local/bin/offsite.sh
    """
    from backupman.cli.wrapped import run

    for option, name in (("--job", job), ("--device", device), ("--sender", sender)):
        if name is not None and not (name.strip() and len(name) <= _NAME_LENGTH):
            raise ConfigError(f"{option}: a name has 1 to {_NAME_LENGTH} characters")
    longest = duration("--drain-timeout", drain_timeout)
    began = datetime.now(UTC)

    def record(ended: "Ended") -> None:
        if not ended.started:
            typer.echo(f"Error: {ended.reason}", err=True)
        try:
            _record(call, ended, job, device, sender, began, longest)
        except BackupmanError as error:
            typer.echo(f"Error: the result of {job!r} was not recorded: {error.sentence}", err=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not hide how the command ended
            typer.echo(f"Error: the result of {job!r} was not recorded: {type(error).__name__}: {error}", err=True)

    raise typer.Exit(run(command, record))


def _record(
    call: Call,
    ended: "Ended",
    job: str,
    device: str | None,
    sender: str | None,
    began: datetime,
    longest: "timedelta",
) -> None:
    """Record the result, and send what is owed for it."""
    from backupman.engine.ingesting import recipient
    from backupman.store.ingest import UNKNOWN_SENDER, Reported

    with call.app() as app:
        message = "\n".join(filter(None, (ended.reason, ended.output))) or "it printed nothing"
        told = Reported(
            device=device or app.config.instance,
            job=job,
            at=began,
            status="Error" if ended.code else "Success",
            message=app.config.redact(message),
            sender=sender or UNKNOWN_SENDER,
            seconds=ended.seconds,
        )
        app.store.ingest.backup(told, recipient(app.config, app.plans, "exec"))
        with interruptible():
            try:
                app.dispatcher.drain(longest)
            except KeyboardInterrupt:
                return  # the daemon, or the next run, sends the rest
