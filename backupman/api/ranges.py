"""The part of an object that a request asks for, by RFC 9110, section 14."""

import re
from dataclasses import dataclass

from fastapi import HTTPException

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]*)-([0-9]*)\s*", re.IGNORECASE)
_BEYOND = 10**18
"""More bytes than any object has."""


@dataclass(frozen=True)
class Part:
    """`length` bytes from `start` of an object of `size` bytes; all of it while `length` is None."""

    size: int | None
    start: int = 0
    length: int | None = None

    @property
    def status(self) -> int:
        """200 for the whole object, 206 for a part."""
        return 200 if self.length is None else 206

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the object is left out."""
        return self.start == 0 and self.length in (None, self.size)

    @property
    def count(self) -> int | None:
        """How many bytes there are to come, if that is known."""
        return self.size if self.length is None else self.length

    def headers(self) -> dict[str, str]:
        """What the answer says of itself."""
        found = {"Accept-Ranges": "bytes" if self.size is not None else "none"}
        if self.count is not None:
            found["Content-Length"] = str(self.count)
        if self.length is not None:
            found["Content-Range"] = f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"
        return found


def part_of(header: str | None, size: int | None) -> Part:
    """The part that a `Range` header means; whatever is not one valid range of bytes is ignored, as it may be.

    Raises:
        HTTPException: 416 when nothing of the object lies in the range.
    """
    match = _ONE_RANGE.fullmatch(header or "")
    if size is None or not match or match.groups() == ("", ""):
        return Part(size)
    first, last = (_number(digits) for digits in match.groups())
    if first is not None and last is not None and last < first:
        return Part(size)
    start = first if first is not None else max(0, size - (last or 0))
    end = size - 1 if first is None or last is None else min(last, size - 1)
    if start > end:
        raise HTTPException(416, "nothing of the object lies in the range", {"Content-Range": f"bytes */{size}"})
    return Part(size, start, end - start + 1)


def _number(digits: str) -> int | None:
    """None without any; Python reads only so many."""
    if not digits:
        return None
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 18 else _BEYOND
