"""What is handed to workers on other hosts, and the workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from backupman.migrations import TABLE

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "backupman_assignments",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("job", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("run_id", sa.Integer()),
        sa.Column("task_id", sa.BigInteger()),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("home", sa.String(36)),
        sa.Column("holder", sa.String(36)),
        sa.Column("host", sa.String(255)),
        sa.Column("records", sa.JSON(), nullable=False),
        sa.Column("cancelled", sa.JSON(), nullable=False),
        sa.Column("error", _TEXT),
        sa.Column("busy", sa.Boolean(), nullable=False),
        sa.Column("begin_until", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("ended_at", _TIME),
        **TABLE,
    )
    op.create_index("ix_backupman_assignments_state", "backupman_assignments", ["instance", "state", "queue"])
    op.create_index("ix_backupman_assignments_of", "backupman_assignments", ["instance", "job", "source"])
    op.create_index("ix_backupman_assignments_run", "backupman_assignments", ["run_id"])
    op.create_index("ix_backupman_assignments_ended", "backupman_assignments", ["instance", "ended_at"])
    op.create_table(
        "backupman_workers",
        sa.Column("home", sa.String(36), primary_key=True),
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("holder", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("takes_any", sa.Boolean(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("heard_at", _TIME, nullable=False),
        sa.Column("stopped_at", _TIME),
        **TABLE,
    )
