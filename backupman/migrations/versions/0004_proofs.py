"""Manifests, verifications, restores, and which copies a drill has proved."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from backupman.migrations import TABLE

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("backupman_drive_files", sa.Column("proved_at", _TIME))
    op.create_table(
        "backupman_manifests",
        sa.Column("backup_id", sa.String(36), primary_key=True),
        sa.Column("document", sa.JSON(), nullable=False),
        **TABLE,
    )
    op.create_table(
        "backupman_verifications",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("backup_id", sa.String(36), nullable=False),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("drive", sa.String(255), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("error", _TEXT),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        **TABLE,
    )
    op.create_index("ix_backupman_verifications_of", "backupman_verifications", ["backup_id", "at"])
    op.create_index("ix_backupman_verifications_time", "backupman_verifications", ["instance", "at"])
    op.create_table(
        "backupman_restores",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("backup_id", sa.String(36), nullable=False),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("label", sa.String(512), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("database", sa.String(255), nullable=False),
        sa.Column("target", sa.String(1024), nullable=False),
        sa.Column("drive", sa.String(255)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("trigger", sa.String(32), nullable=False),
        sa.Column("operator", sa.String(255)),
        sa.Column("size", sa.BigInteger()),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("error", _TEXT),
        sa.Column("seconds", sa.Double()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        **TABLE,
    )
    op.create_index("ix_backupman_restores_of", "backupman_restores", ["backup_id", "created_at"])
    op.create_index("ix_backupman_restores_time", "backupman_restores", ["instance", "created_at"])
