"""What Alembic runs: the given connection, our metadata, a version table of our own name."""

from alembic import context
from sqlmodel import SQLModel

from backupman import records
from backupman.migrations import VERSION_TABLE

assert records.Backup.metadata is SQLModel.metadata  # noqa: S101 - the import above fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
