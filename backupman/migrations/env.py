"""What Alembic runs: the given connection, our metadata, a version table of our own name."""

from typing import Any

from alembic import context
from alembic.ddl.mysql import MySQLImpl
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from backupman import records
from backupman.migrations import VERSION_TABLE

assert records.Backup.metadata is SQLModel.metadata  # noqa: S101 - the import above fills the metadata

_MADE = {1050, 1060, 1061, 1091}
"""MySQL's numbers for a table, column or index that is there already, and for an index that is gone already."""


class _GoingOn(MySQLImpl):
    """MySQL commits each table, column and index by itself: what an upgrade that broke off has done is done."""

    __dialect__ = "mysql"

    def _exec(self, construct: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return super()._exec(construct, *arguments, **named)
        except DBAPIError as error:
            if getattr(error.orig, "args", [None])[0] not in _MADE:
                raise
            return None


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
