"""What every record is stamped with: the time, and an id."""

import uuid
from datetime import UTC, datetime


def now() -> datetime:
    """The time that records are stamped with."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh id for a record."""
    return str(uuid.uuid4())
