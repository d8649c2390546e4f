"""Keeps the records from growing for ever: what is older than `history.keep` and holds no good copy goes."""

import logging
import time
from datetime import datetime, timedelta

from backupman.store import Store

log = logging.getLogger(__name__)

_BATCH = 500
_PAUSE = 0.05
"""Seconds between two batches, in which others can write."""


def purge(store: Store, instance: str, keep: timedelta, at: datetime) -> int:
    """Remove an installation's old records; how many. Raises StoreError; what was removed by then stays so."""
    try:
        before = at - keep
    except OverflowError:  # kept longer than there has been a calendar
        return 0
    removed = 0
    while batch := store.history.purge(instance, before, _BATCH):
        removed += batch
        time.sleep(_PAUSE)
    if removed:
        log.info("removed %d records from before %s", removed, before)
    return removed
