"""`import`: takes over what the original Go program has on record."""

import dataclasses
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backupman.cli.call import Call
from backupman.cli.interrupts import interruptible
from backupman.cli.options import Json, typed_password
from backupman.errors import ConfigError, ExitCode, Interrupted

if TYPE_CHECKING:
    from sqlalchemy import URL

    from backupman.config import Config
    from backupman.engine.go_backups import Left
    from backupman.engine.importing import Imported, Tally
    from backupman.store.go_records import GoRecords


def take_over(
    call: Call,
    from_go: Annotated[Path, typer.Option("--from-go", metavar="FILE", help="The config of the Go program.")],
    database_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Its database, where that is not the one its config names; a password that is not in it is asked for.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken over.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Take over the backups that the original Go program has on record, with their ids.

    They go into the records of our own config; where there is none yet, of
    the Go program's, which ours reads unchanged. Its database is only read.
    Done again it adds what is new and changes nothing. Ends with 1 if
    something could not be taken.

    \b
    Examples:
      backupman import --from-go /opt/backupman/config.yml --dry-run
      backupman import --from-go /opt/backupman/config.yml
      backupman import --from-go old.yml --database-url sqlite:///srv/old.db
    """
    from backupman.config import load, plans
    from backupman.engine.importing import Importer

    gc.enable()  # a hundred thousand records leave garbage
    go = load(from_go).config
    call = _on(call, from_go)
    with call.records() as (config, store), closing(_records(go, database_url)) as records:
        count = records.count()
        ours = "our records" if as_json else f"the records of {call.config_file()}"
        _confirm(f"{count:,} backups on record in {records.place} go into {ours}", yes=yes or dry_run or not count)
        importer = Importer(config, plans(config), store, go)
        try:
            with interruptible(), _progress(count, quiet=call.quiet) as tell:
                found = importer.take(records, dry=dry_run, tell=tell)
        except KeyboardInterrupt:
            importer.stop("it was interrupted")
            raise Interrupted("the import was interrupted: import again, and it goes on where it was") from None
    if as_json:
        _print_json(found, dry_run=dry_run)
    else:
        _print(call, found, dry_run=dry_run)
    raise typer.Exit(ExitCode.FAILED if found.left_count else ExitCode.OK)


def _on(call: Call, from_go: Path) -> Call:
    """The call on our own config; where there is none, on the Go program's."""
    try:
        call.config_file()
    except ConfigError:
        return dataclasses.replace(call, config=from_go)
    return call


def _records(go: "Config", url: str | None) -> "GoRecords":
    from backupman.config.database import database_of
    from backupman.store.go_records import GoRecords

    if url is None:
        if "database" not in go.model_fields_set:
            raise ConfigError("the Go program's config has no `database`: name it with --database-url")
        if go.database.provider == "memory":
            raise ConfigError("the Go program has kept its records in memory: there are none to take over")
        return GoRecords(go.database.address(go.state_folder))
    from sqlalchemy import make_url

    address = make_url(database_of("--database-url", url).address(Path()))
    if address.username and address.password is None:
        address = address.set(password=_password(go, address))
    return GoRecords(address.render_as_string(hide_password=False))


def _password(go: "Config", address: "URL") -> str | None:
    """That of the config for the same account, else what somebody types."""
    if go.database.password and go.database.user == address.username:
        return go.database.password.get_secret_value()
    return typed_password(f"{address.username}@{address.host}") or None


def _confirm(what: str, *, yes: bool) -> None:
    """Raise ConfigError unless it is wanted."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{what}: say --yes if that is meant, or --dry-run to see what would be")
    if not typer.confirm(f"{what}. Go on?", err=True):
        raise ConfigError("nothing was done")


@contextmanager
def _progress(count: int, *, quiet: bool) -> "Iterator[Callable[[int], None]]":
    """A line on a terminal that says how far it is."""
    from backupman.cli.output import console

    out = console(stderr=True)
    if quiet or not out.is_interactive:
        yield lambda done: None
        return
    with out.status("Reading …") as line:
        yield lambda done: line.update(f"{done:,} of {count:,} backups")


def _print(call: Call, found: "Imported", *, dry_run: bool) -> None:
    from backupman.cli.output import console, print_marked

    out, err = console(), console(stderr=True)
    if not call.quiet:
        for label, tally in sorted(found.taken.items()):
            print_marked("finished", f"{label}: {_said(tally, dry_run=dry_run)}", out)
        if not found.taken:
            out.print("There is nothing to take over.")
        for sentence in found.remarks:
            print_marked("warning", sentence, out)
    for left in found.left:
        print_marked("failed", _line(left), err)
    if (more := found.left_count - len(found.left)) > 0:
        err.print(f"… and {more:,} more")
    if found.left_count:
        err.print(
            f"{found.left_count:,} could not be taken over; what is said above can be mended, and the rest taken."
        )
    elif found.taken and not dry_run and not call.quiet:
        out.print(
            f"Sizes and checksums are not known yet; find them: {call.again('reconcile', '--fix')}", soft_wrap=True
        )


def _said(tally: "Tally", *, dry_run: bool) -> str:
    from backupman.cli.output import counted

    if not (tally.backups or tally.copies):
        return f"{counted(tally.already, 'backup is', 'backups are')} on record already"
    said = f"{counted(tally.backups, 'backup')} ({tally.finished:,} finished, {tally.failed:,} failed)"
    said += f" with {counted(tally.copies, 'copy', 'copies')} {'would be ' if dry_run else ''}taken over"
    return said + (f"; {tally.already:,} on record already" if tally.already else "")


def _line(left: "Left") -> str:
    of = f" of {left.label}" if left.label else ""
    copy = f", its copy on {left.drive}" if left.drive else ""
    return f"{left.id or 'a backup without an id'}{of}{copy}: {left.reason}"


def _print_json(found: "Imported", *, dry_run: bool) -> None:
    from backupman.cli.output import print_json

    def shown(label: str, tally: "Tally") -> dict[str, Any]:
        numbers = {name.title(): value for name, value in dataclasses.asdict(tally).items()}
        return {"Label": label} | numbers

    print_json(
        {
            "DryRun": dry_run,
            "Results": [shown(label, tally) for label, tally in sorted(found.taken.items())],
            "Left": [
                {"Id": left.id, "Label": left.label, "Drive": left.drive, "Reason": left.reason} for left in found.left
            ],
            "LeftCount": found.left_count,
            "Remarks": found.remarks,
        }
    )
