"""What an endpoint that shows a state must not be sent any more, because it would be taken for what is now."""

from datetime import datetime, timedelta

from backupman.events import EventKind
from backupman.notifiers import Endpoint
from backupman.records import Event, Status
from backupman.retention import AHEAD
from backupman.store import Store

_NOW = timedelta(days=1)
"""How old an event may be that is told to an endpoint which takes it for what is now."""
_ENDS = (EventKind.BACKUP_REPORT, EventKind.BACKUP_SUCCESS)


def too_late(store: Store, endpoint: Endpoint, event: Event, at: datetime) -> str | None:
    """Why an event is not sent to an endpoint any more; None where it is."""
    good = event.kind in _ENDS and event.payload.get("Status") == Status.FINISHED
    if endpoint.resolves and good and event.backup_id and store.backups.failed_since(event.backup_id, at + AHEAD):
        return "a newer backup of the same database has failed, and this would end its alarm"
    if not endpoint.only_now:
        return None
    if event.kind == EventKind.BACKUP_START and store.outbox.has_ended(event):
        return "its backup has ended already, so that the start would be taken for another one"
    if at - event.time > _NOW and event.kind != EventKind.ALARM_DRILL:  # which changes no state
        return "it is older than a day, and would be taken for what is now"
    return None
