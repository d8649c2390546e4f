"""Our own alarms among the notifications, those of older events too, and an index for each search in what was told."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BATCH = 500
_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_SEVERITIES = {
    **dict.fromkeys(("backup_failure", "backup_late", "backup_missed", "backup_stuck"), "error"),
    **dict.fromkeys(("verify_failure", "restore_failure", "alarm_drill_failure", "reconcile_report"), "error"),
    **dict.fromkeys(("size_anomaly", "prune_report"), "warning"),
    **dict.fromkeys(("backup_recovered", "alarm_drill_recovered"), "info"),
}
_WHERE_FAILED = ("prune_report", "reconcile_report")

_EVENTS = sa.table(
    "backupman_events",
    sa.column("seq", sa.Integer()),
    sa.column("id", sa.String()),
    sa.column("kind", sa.String()),
    sa.column("time", _TIME),
    sa.column("instance", sa.String()),
    sa.column("job", sa.String()),
    sa.column("payload", sa.JSON()),
)
_NOTIFICATIONS = sa.table(
    "backupman_notifications",
    *(sa.column(name, sa.String()) for name in ("id", "kind", "device", "sender", "job", "type", "severity")),
    sa.column("message", _TEXT),
    sa.column("time", _TIME),
    sa.column("created_at", _TIME),
)


def upgrade() -> None:
    op.add_column(
        "backupman_notifications", sa.Column("kind", sa.String(16), nullable=False, server_default="ingested")
    )
    for name in ("device", "type", "severity"):
        op.create_index(f"ix_backupman_notifications_{name}", "backupman_notifications", [name, "time", "id"])
    op.create_index("ix_backupman_events_kind", "backupman_events", ["kind", "seq"])
    op.create_index("ix_backupman_deliveries_endpoint", "backupman_deliveries", ["endpoint", "id"])
    op.create_index("ix_backupman_deliveries_to", "backupman_deliveries", ["endpoint", "state", "id"])
    _tell_alarms(op.get_bind())


def _tell_alarms(connection: sa.Connection) -> None:
    """Make notifications of the alarms on record, a few at a time."""
    alarms = sa.select(_EVENTS).where(_EVENTS.c.kind.in_(list(_SEVERITIES))).order_by(_EVENTS.c.seq).limit(_BATCH)
    last = 0
    while found := connection.execute(alarms.where(_EVENTS.c.seq > last)).mappings().all():
        last = found[-1]["seq"]
        if rows := [_notification(event) for event in found if _is_alarm(event)]:
            connection.execute(sa.insert(_NOTIFICATIONS), rows)


def _is_alarm(event: Any) -> bool:
    payload = event["payload"]
    return event["kind"] not in _WHERE_FAILED or bool(payload.get("Failed") or payload.get("Error"))


def _notification(event: Any) -> dict[str, Any]:
    payload, sender = event["payload"], event["payload"].get("Sender")
    return {
        "id": event["id"],
        "kind": "own",
        "device": payload["Source"] if sender else event["instance"],
        "sender": sender or event["instance"],
        "job": event["job"],
        "type": event["kind"],
        "severity": _SEVERITIES[event["kind"]],
        "message": payload.get("Reason") or payload.get("Error") or payload.get("Label"),
        "time": event["time"],
        "created_at": event["time"],
    }
