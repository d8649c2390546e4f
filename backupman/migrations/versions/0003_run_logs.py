"""What was logged about each backup."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from backupman.migrations import TABLE

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backupman_run_logs",
        sa.Column("backup_id", sa.String(36), primary_key=True),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("lines", sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")),
        sa.Column("updated_at", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"), nullable=False),
        **TABLE,
    )
