"""The records of the daemon: schedules, runs, incidents, and what other machines report."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from backupman.migrations import TABLE

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    # column by column: making the table anew would drop what refers to it
    op.add_column("backupman_backups", sa.Column("kind", sa.String(16), nullable=False, server_default="own"))
    op.add_column("backupman_backups", sa.Column("device", sa.String(255)))
    op.add_column("backupman_backups", sa.Column("sender", sa.String(255)))
    op.add_column("backupman_backups", sa.Column("said_status", sa.String(255)))
    op.add_column("backupman_backups", sa.Column("warning", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("backupman_backups", sa.Column("message", _TEXT))
    op.add_column("backupman_backups", sa.Column("timed_out", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("backupman_backups", sa.Column("pinned_until", _TIME))
    op.add_column("backupman_drive_files", sa.Column("trashed_at", _TIME))
    op.add_column("backupman_drive_files", sa.Column("verified_at", _TIME))
    op.add_column("backupman_drive_files", sa.Column("verify_error", _TEXT))
    _index()
    op.create_table(
        "backupman_schedules",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("job", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("database", sa.String(255), nullable=False),
        sa.Column("schedule", _TEXT),
        sa.Column("since", _TIME, nullable=False),
        **TABLE,
    )
    op.create_index("ix_backupman_schedules_instance", "backupman_schedules", ["instance"])
    op.create_table(
        "backupman_runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("job", sa.String(255), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", _TEXT),
        sa.Column("started_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.UniqueConstraint("instance", "job", "due_at", name="uq_backupman_runs_due"),
        **TABLE,
    )
    op.create_table(
        "backupman_incidents",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("job", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("database", sa.String(255), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("reminded_at", _TIME, nullable=False),
        sa.Column("closed_at", _TIME),
        **TABLE,
    )
    op.create_index("ix_backupman_incidents_open", "backupman_incidents", ["instance", "closed_at"])
    op.create_table(
        "backupman_notifications",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("device", sa.String(255), nullable=False),
        sa.Column("sender", sa.String(255), nullable=False),
        sa.Column("job", sa.String(255)),
        sa.Column("type", sa.String(255), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("message", _TEXT),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        **TABLE,
    )
    op.create_index("ix_backupman_notifications_time", "backupman_notifications", ["time", "id"])


def _index() -> None:
    """One index for each way in which many backups are searched, the newest first."""
    op.drop_index("ix_backupman_backups_status", "backupman_backups")
    op.create_index("ix_backupman_backups_kind", "backupman_backups", ["kind", "created_at", "id"])
    for name in ("status", "label", "job", "source", "database"):
        op.create_index(f"ix_backupman_backups_{name}", "backupman_backups", [name, "created_at"])
    op.create_index("ix_backupman_backups_by", "backupman_backups", ["job", "source", "created_at"])
    spooled = sa.text("spool_path IS NOT NULL")
    op.create_index(
        "ix_backupman_backups_spooled",
        "backupman_backups",
        ["spool_path"],
        sqlite_where=spooled,
        postgresql_where=spooled,
        mysql_length={"spool_path": 16},
    )
    # the new one first: MySQL wants an index for the reference at all times
    op.create_index("ix_backupman_drive_files_of", "backupman_drive_files", ["backup_id", "label", "status"])
    op.drop_index("ix_backupman_drive_files_backup_id", "backupman_drive_files")
    op.drop_index("ix_backupman_drive_files_on", "backupman_drive_files")
    # what is owed is claimed in its order, and no more of it is read than is claimed
    op.create_index("ix_backupman_deliveries_state", "backupman_deliveries", ["state", "id"])
    op.drop_index("ix_backupman_deliveries_due", "backupman_deliveries")
