"""Spans of time and texts from anywhere, as pages show them."""

import json
import re
from datetime import timedelta

from backupman.text import printable

_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")


def age(past: timedelta) -> str:
    """How old: `12 s`, `5 min`, `3 h 20 min`, `2 days`."""
    seconds = max(0, int(past.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 10:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"


def ahead(future: timedelta) -> str:
    """How far away: `in 3 h 20 min`, or `now`."""
    return f"in {age(future)}" if future > timedelta(seconds=0) else "now"


def plain(text: object) -> str:
    """A text of several lines from anywhere, with nothing in it that turns what stands around it."""
    return _TURNING.sub("", str(printable(str(text if text is not None else ""))))


def fact(text: str) -> str:
    """What is known of a dump: where it is a list of names in JSON, the names."""
    if not text.startswith("["):
        return text
    try:
        return ", ".join(map(str, json.loads(text)))
    except ValueError:
        return text
