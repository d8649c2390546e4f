"""Who is told of what scripts elsewhere report."""

from backupman.config import Config
from backupman.events import EventKind
from backupman.store.ingest import Recipient

_KINDS = (EventKind.BACKUP_REPORT, EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE, EventKind.NOTIFICATION)
_BACK_TO_SENDER = "backupmonitor"
"""The notifier that posts to an ingest API: through it, what came in by ours would go round and round."""


def recipient(config: Config, operator: str | None) -> Recipient:
    """This installation, with all endpoints: what was ingested belongs to no job that could name some of them."""
    endpoints = [
        endpoint
        for provider, blocks in config.notifiers.items()
        for block in blocks
        for endpoint in block.endpoints()
        if provider != _BACK_TO_SENDER
    ]
    wanted = {kind: [endpoint.name for endpoint in endpoints if kind in endpoint.events] for kind in _KINDS}
    return Recipient(config.instance, operator, wanted)
