"""JSON bodies for services that take only so many bytes: one text of it gives way."""

import json
from collections.abc import Mapping
from typing import Any

from backupman.text import cut, printable

_STEP = 16


def fitting(body: Mapping[str, Any], key: str, text: str, *, text_bytes: int, whole_bytes: int) -> bytes:
    """The body as JSON in UTF-8, with the text under `key`, cut until it is short enough and the whole fits.

    What JSON escapes takes more room in it than it has bytes, so the text is cut by what is too much until it fits.
    """
    told, room = printable(text), text_bytes
    while True:
        content = as_json({**body, key: cut(told, max(3, room))})
        if len(content) <= whole_bytes or room <= _STEP:
            return content
        room = max(_STEP, room - max(_STEP, (len(content) - whole_bytes) // 2))


def as_json(value: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8 without control characters in its texts."""
    return json.dumps(printable(dict(value)), ensure_ascii=False, allow_nan=False).encode()
