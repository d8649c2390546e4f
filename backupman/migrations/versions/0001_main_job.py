"""The records of the main job: backups, drive files, events and deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from backupman.migrations import TABLE

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "backupman_backups",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("dump_status", sa.String(16), nullable=False),
        sa.Column("phase", sa.String(32)),
        sa.Column("label", sa.String(512), nullable=False),
        sa.Column("job", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("database", sa.String(255), nullable=False),
        sa.Column("source_provider", sa.String(64), nullable=False),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("trigger", sa.String(32), nullable=False),
        sa.Column("operator", sa.String(255)),
        sa.Column("comment", _TEXT),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("object_name", sa.String(1024), nullable=False),
        sa.Column("spool_path", _TEXT),
        sa.Column("dump_path", _TEXT),
        sa.Column("size", sa.BigInteger()),
        sa.Column("stored_size", sa.BigInteger()),
        sa.Column("sha256", sa.String(64)),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("error", _TEXT),
        sa.Column("dump_seconds", sa.Double()),
        sa.Column("seconds", sa.Double()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME),
        sa.Column("finished_at", _TIME),
        **TABLE,
    )
    op.create_index("ix_backupman_backups_created_at", "backupman_backups", ["created_at", "id"])
    op.create_index("ix_backupman_backups_of", "backupman_backups", ["source", "database", "created_at"])
    op.create_index("ix_backupman_backups_status", "backupman_backups", ["status"])
    op.create_table(
        "backupman_drive_files",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("backup_id", sa.String(36), sa.ForeignKey("backupman_backups.id"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("label", sa.String(255), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("path", _TEXT),
        sa.Column("ref", _TEXT),
        sa.Column("sidecar_ref", _TEXT),
        sa.Column("session", _TEXT),
        sa.Column("size", sa.BigInteger()),
        sa.Column("sha256", sa.String(64)),
        sa.Column("checksums", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double()),
        sa.Column("error", _TEXT),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME),
        **TABLE,
    )
    op.create_index("ix_backupman_drive_files_backup_id", "backupman_drive_files", ["backup_id"])
    op.create_index("ix_backupman_drive_files_on", "backupman_drive_files", ["label", "status"])
    op.create_table(
        "backupman_events",
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("job", sa.String(255), nullable=False),
        sa.Column("backup_id", sa.String(36)),
        sa.Column("payload", sa.JSON(), nullable=False),
        **TABLE,
    )
    op.create_index("ix_backupman_events_time", "backupman_events", ["time"])
    op.create_index("ix_backupman_events_backup_id", "backupman_events", ["backup_id"])
    op.create_table(
        "backupman_deliveries",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("event_seq", sa.Integer(), sa.ForeignKey("backupman_events.seq"), nullable=False),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("endpoint", sa.String(300), nullable=False),
        sa.Column("lane", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", _TIME, nullable=False),
        sa.Column("lease_until", _TIME),
        sa.Column("settled_at", _TIME),
        sa.Column("answer", _TEXT),
        sa.Column("error", _TEXT),
        sa.Column("created_at", _TIME, nullable=False),
        **TABLE,
    )
    op.create_index("ix_backupman_deliveries_event_seq", "backupman_deliveries", ["event_seq"])
    op.create_index("ix_backupman_deliveries_due", "backupman_deliveries", ["state", "next_attempt_at"])
    op.create_index("ix_backupman_deliveries_lane", "backupman_deliveries", ["endpoint", "lane", "state", "id"])
    op.create_table(
        "backupman_delivery_attempts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("delivery_id", sa.Integer(), sa.ForeignKey("backupman_deliveries.id"), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("answer", _TEXT),
        sa.Column("error", _TEXT),
        **TABLE,
    )
    op.create_index("ix_backupman_delivery_attempts_delivery_id", "backupman_delivery_attempts", ["delivery_id"])
