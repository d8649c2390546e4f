"""`store`: takes the records to another database."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.call import Call
from backupman.errors import BusyError

if TYPE_CHECKING:
    from backupman.store import Store
    from backupman.store.transfer import Copied


def migrate(
    call: Call,
    to: Annotated[
        str,
        typer.Option(metavar="URL", help="The other database, as in the config's database.url; ${NAME} is filled in."),
    ],
) -> None:
    """Copy all records into another database, compare the two, and say what to change in the config.

    Stop every backupman that uses the records first. The other database has to be empty, or to hold exactly the same
    records. The present ones stay as they are. A copy that is interrupted leaves nothing, and is begun anew.

    Write the password as ${NAME} in single quotes: everybody on the machine can read what stands in a command line.

    \b
    Examples:
      backupman store migrate --to 'postgresql://me:${PASSWORD}@db/backupman'
      backupman store migrate --to sqlite:////var/lib/backupman/records.db
    """
    from backupman.cli.output import console
    from backupman.config.database import database_at
    from backupman.engine.locks import daemon_lock
    from backupman.store import Store

    address = database_at("--to", to)
    with call.records() as (config, store):
        lock = daemon_lock(config.state_folder)  # no daemon writes meanwhile
        try:
            if store.shared and (living := store.claims.living()):
                raise BusyError(f"{living[0].instance} on {living[0].host} uses the records still; stop it first")
            target = Store.open_for_copy(address.address(config.state_folder))
            try:
                with console(stderr=True).status("copying") as status:
                    copied = store.copy_into(target, lambda table, count: status.update(f"{table}: {count:,}"))
            finally:
                target.close()
        finally:
            os.close(lock)
        if not call.quiet:
            _tell(copied, store, target, to)


def _tell(copied: "Copied", store: "Store", target: "Store", url: str) -> None:
    from backupman.cli.output import console, print_marked

    out, records = console(), f"{sum(copied.counts.values()):,} records of {len(copied.counts)} tables"
    done = "were all there already" if copied.already else "were copied"
    print_marked("finished", f"{records} {done}: {target.place} holds the same, by count and by hash.", out)
    out.print(f"\nChange the config to this, and start backupman again:\n\ndatabase:\n  url: {_for_config(url)}\n")
    out.print(f"The records in {store.place} stay as they are.", soft_wrap=True)


def _for_config(url: str) -> str:
    """The URL as it was typed, without a password that was typed with it."""
    from sqlalchemy import make_url

    if "${" in url:
        return url
    return make_url(url).render_as_string().replace(":***@", ":${DB_PASSWORD}@")
