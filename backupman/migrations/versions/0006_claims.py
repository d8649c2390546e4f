"""What each process holds where several hosts share the records, and from which of them a record was made."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from backupman.migrations import TABLE

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("backupman_backups", sa.Column("home", sa.String(36)))
    op.add_column("backupman_restores", sa.Column("home", sa.String(36)))
    op.create_table(
        "backupman_claims",
        sa.Column("instance", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("holder", sa.String(36), nullable=False),
        sa.Column("home", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("until", _TIME, nullable=False),
        **TABLE,
    )
