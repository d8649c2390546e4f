"""Text on its way out: values that UTF-8, JSON and a terminal can hold, and numbers that people can read."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import quote

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TELLING = 5
"""Characters from which on a secret is looked for inside of words too."""
_FEW = 5
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def clean(value: Any) -> Any:
    """A JSON value that UTF-8 and JSON can hold: `?` for a lone surrogate, None for a number that is none."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def printable(value: Any) -> Any:
    """A JSON value, clean, whose texts have `\\n` and tabs but no other control characters."""
    if isinstance(value, str):
        return _CONTROLS.sub("\ufffd", clean(value).replace("\r\n", "\n").replace("\r", "\n"))
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable(item) for item in value]
    return clean(value)


def without(secrets: Iterable[str], text: str) -> str:
    """The text with `***` for every secret; a very short one only where it is a word, or no word would stay whole."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _TELLING:
            for form in _forms(secret):
                text = text.replace(form, "***")
        elif secret:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text


@lru_cache(maxsize=10_000)
def _forms(secret: str) -> list[str]:
    """A text as it is, and as others repeat it: in JSON (PHP writes `\\/`), on a page, in an address; longest first."""
    in_json = [json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)]
    slashed = [form.replace("/", "\\/") for form in in_json]
    elsewhere = [escape(secret), quote(secret, safe="", errors="replace")]
    return sorted({secret, *in_json, *slashed, *elsewhere}, key=len, reverse=True)


def one_line(text: str, longest: int) -> str:
    """The text in one line of at most `longest` characters, with nothing in it that turns what stands around it."""
    line = " ".join(_DIRECTIONS.sub("", printable(text)).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def first_line(text: str) -> str:
    """What an error says first, without what it adds in further lines."""
    return text.strip().split("\n")[0]


def size(count: int | None) -> str:
    """Bytes in IEC units: `1.4 GiB`."""
    if count is None:
        return ""
    number = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def span(seconds: float | None) -> str:
    """Seconds as `0.4 s`, `4 min 12 s` or `1 h 3 min`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def moment(time: str | None) -> str:
    """An ISO 8601 time as `2025-07-02 10:00:00 UTC`."""
    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if time else ""


def minute(time: datetime) -> str:
    """A time as `2025-07-02 10:00 UTC`."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def here(time: datetime) -> datetime:
    """A time by the clock of whoever reads it; in UTC where TZ has an offset that no place has, such as `UTC+25`."""
    try:
        return time.astimezone()
    except ValueError:
        return time.astimezone(UTC)


def written(text: str) -> datetime:
    """An ISO 8601 time or date, in UTC; without a zone it is one by the clock that `here` shows.

    Raises:
        ValueError: it is neither.
        OverflowError: it is one in a year that the calendar does not have by UTC.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        with suppress(ValueError):
            return time.astimezone(UTC)
        return time.replace(tzinfo=UTC)
    return time.astimezone(UTC)


def space(count: int) -> str:
    """Bytes of a disk in whole MiB, in which two that are near stay apart; fewer as `size` has them."""
    return f"{count // 2**20} MiB" if count >= 2**20 else size(count)


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def few(names: Sequence[str]) -> str:
    """The first of them, and how many more there are: `a, b, c, d, e and 40 more`."""
    more = len(names) - _FEW
    return listed([*names[:_FEW], f"{more} more"] if more > 0 else list(names))


def did_you_mean(word: str, known: Mapping[str, str], cutoff: float = 0.6) -> str:
    """`; did you mean bucket?`: what is shown for the known word that is nearest; nothing where none is near."""
    found = get_close_matches(word, known, n=1, cutoff=cutoff)
    return f"; did you mean {known[found[0]]}?" if found else ""


def cut(text: str, longest: int) -> str:
    """The beginning of a clean text in at most `longest` bytes of UTF-8; `…` where something is missing."""
    encoded = str(clean(text)).encode()
    if len(encoded) <= longest:
        return encoded.decode()
    return encoded[: longest - 3].decode(errors="ignore") + "…" if longest >= 3 else ""
