"""Which events are alarms, and how each stands among the notifications, for whoever looks at the dashboard."""

from backupman.events import severity
from backupman.records import Event, Kind, Notification


def notifications(event: Event) -> list[Notification]:
    """The notification that an alarm is; none of another event. Of a job of another machine it bears its name."""
    payload, bad = event.payload, severity(event.kind, event.payload)
    if bad is None:
        return []
    said = payload.get("Reason") or payload.get("Error") or payload.get("Message")
    sender = payload.get("Sender")
    return [
        Notification(
            id=event.id,
            kind=Kind.OWN,
            device=payload["Source"] if sender else event.instance,
            sender=sender or event.instance,
            job=event.job,
            type=event.kind,
            severity=bad,
            message=said or "\n".join(payload.get("Warnings") or []) or payload.get("Label"),
            time=event.time,
        )
    ]
