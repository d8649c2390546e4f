"""Entries for the ingest API, and what became of them."""

from typing import Any

import httpx

from tests.api.conftest import Api

BACKUP = {
    "deviceName": "web-1",
    "jobName": "Nightly Full Backup",
    "timestamp": "2024-06-04T14:00:00+02:00",
    "status": "Success",
    "message": "Backup completed. 142 GB transferred.",
    "sender": "script-web-1",
}
NOTIFICATION = {
    "deviceName": "web-1",
    "jobName": "Job",
    "timestamp": "2024-06-04T12:00:00Z",
    "message": "This is a test.",
    "sender": "script-web-1",
    "severity": "info",
    "type": "some_alert",
}


def sent(client: httpx.Client, entry: dict[str, Any], **changes: Any) -> httpx.Response:
    """The answer to an entry; fields that are changed to `...` are left out."""
    whole = {name: value for name, value in (entry | changes).items() if value is not ...}
    with client:
        return client.post(f"/api/ingest/{'notification' if 'severity' in entry else 'backup'}", json=whole)


def recorded(api: Api) -> list[dict[str, Any]]:
    with api.client() as client:
        results: list[dict[str, Any]] = client.get("/api/backups?kind=ingested").json()["Results"]
    return results


def noted(api: Api) -> list[dict[str, Any]]:
    with api.client() as client:
        events = client.get("/api/events").json()["Results"]
    return [event["Payload"] for event in events if event["Event"] == "notification"]
