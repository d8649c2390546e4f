"""Whether an object is the one that a client has, or expects, by RFC 9110, section 13."""

import re
from collections.abc import Sequence

from fastapi import HTTPException

_TAG = re.compile(r'(?:W/)?"[^"]*"')


def is_known(etag: str | None, if_match: Sequence[str] | None, if_none_match: Sequence[str] | None) -> bool:
    """Whether the client has the object of that `ETag` already; None is one whose hash is not known.

    Of each header all its lines are given: together they are one list.

    Raises:
        HTTPException: 412 when `If-Match` names others.
    """
    if if_match is not None and not (_any(if_match) or etag in _tags(if_match)):
        now = {"ETag": etag} if etag else None
        raise HTTPException(412, "the object is not the one of If-Match: leave it out to get what there is", now)
    if if_none_match is None:
        return False
    return _any(if_none_match) or etag in [tag.removeprefix("W/") for tag in _tags(if_none_match)]


def _any(lines: Sequence[str]) -> bool:
    return [line.strip() for line in lines] == ["*"]


def _tags(lines: Sequence[str]) -> list[str]:
    return [tag for line in lines for tag in _TAG.findall(line)]
