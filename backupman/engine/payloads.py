"""Which shape the payload of each kind of event has."""

from collections.abc import Mapping

from backupman.engine.alarms import IncidentReport
from backupman.engine.pruning import PruneReport
from backupman.engine.queues import QueueReport
from backupman.engine.reconcile_report import ReconcileReport
from backupman.engine.records_watch import RecordsReport
from backupman.engine.restoring import RestoreReport
from backupman.engine.verify_report import VerifyReport
from backupman.events import AlarmDrillReport, BackupExtended, EventKind, NotificationReport, View

PAYLOADS: Mapping[EventKind, type[View]] = {
    EventKind.BACKUP_START: BackupExtended,
    EventKind.BACKUP_REPORT: BackupExtended,
    EventKind.BACKUP_SUCCESS: BackupExtended,
    EventKind.BACKUP_FAILURE: BackupExtended,
    EventKind.BACKUP_LATE: IncidentReport,
    EventKind.BACKUP_MISSED: IncidentReport,
    EventKind.BACKUP_STUCK: IncidentReport,
    EventKind.BACKUP_RECOVERED: IncidentReport,
    EventKind.SIZE_ANOMALY: IncidentReport,
    EventKind.PRUNE_REPORT: PruneReport,
    EventKind.RECONCILE_REPORT: ReconcileReport,
    EventKind.VERIFY_SUCCESS: VerifyReport,
    EventKind.VERIFY_FAILURE: VerifyReport,
    EventKind.RESTORE_START: RestoreReport,
    EventKind.RESTORE_SUCCESS: RestoreReport,
    EventKind.RESTORE_FAILURE: RestoreReport,
    EventKind.NOTIFICATION: NotificationReport,
    EventKind.ALARM_DRILL: AlarmDrillReport,
    EventKind.ALARM_DRILL_FAILURE: AlarmDrillReport,
    EventKind.ALARM_DRILL_RECOVERED: AlarmDrillReport,
    EventKind.QUEUE_UNATTENDED: QueueReport,
    EventKind.QUEUE_RECOVERED: QueueReport,
    EventKind.RECORDS_FAILURE: RecordsReport,
    EventKind.RECORDS_RECOVERED: RecordsReport,
}
