"""Who is told of what scripts elsewhere report."""

from collections.abc import Sequence

from backupman.config import Config, JobPlan
from backupman.events import EventKind
from backupman.store.ingest import Recipient

_KINDS = (EventKind.BACKUP_REPORT, EventKind.BACKUP_SUCCESS, EventKind.BACKUP_FAILURE, EventKind.NOTIFICATION)
_BACK_TO_SENDER = "backupmonitor"
"""The notifier that posts to an ingest API: through it, what came in by ours would go round and round."""


def recipient(config: Config, plans: Sequence[JobPlan], operator: str | None) -> Recipient:
    """This installation, with all endpoints: what was ingested belongs to no job that could name some of them.

    Left out is who shows one state, and shows that of our own jobs: a script's success would hide their failure.
    """
    ours = {endpoint.name for plan in plans for endpoint in plan.endpoints}
    endpoints = [
        endpoint
        for provider, blocks in config.notifiers.items()
        for block in blocks
        for endpoint in block.endpoints()
        if provider != _BACK_TO_SENDER and (block.tells_apart or not block.shows_state or endpoint.name not in ours)
    ]
    wanted = {kind: [endpoint.name for endpoint in endpoints if kind in endpoint.events] for kind in _KINDS}
    return Recipient(config.instance, operator, wanted)
