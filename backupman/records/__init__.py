"""The tables of all records.

Times are UTC and aware. Our tables have names of their own: those of the original Go program (`backups`,
`backup_drive_files`) may live in the same database and are never touched.
"""

from backupman.records._stamps import new_id, now
from backupman.records.assignments import Assignment, AssignmentKind, AssignmentState, Worker
from backupman.records.backups import Backup, DriveFile, Kind, Status
from backupman.records.claims import Claim
from backupman.records.deliveries import Delivery, DeliveryAttempt, DeliveryState, Event
from backupman.records.promises import Incident, Notification, Run, RunState, Schedule
from backupman.records.proofs import ManifestRecord, Restore, Verification

__all__ = [
    "Assignment",
    "AssignmentKind",
    "AssignmentState",
    "Backup",
    "Claim",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryState",
    "DriveFile",
    "Event",
    "Incident",
    "Kind",
    "ManifestRecord",
    "Notification",
    "Restore",
    "Run",
    "RunState",
    "Schedule",
    "Status",
    "Verification",
    "Worker",
    "new_id",
    "now",
]
