"""Times as scripts send them: ISO 8601 or RFC 3339, always with a time of day and a UTC offset."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_MOMENT = re.compile(
    r"(?P<date>[0-9W-]{7,10})[Tt ](?P<hours>[0-9]{2}(?P<rest>:?[0-9]{2}(?P<seconds>:?[0-9]{2})?)?)"
    r"(?P<fraction>[.,][0-9]+)?(?P<offset>[Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?"
)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLE = "write it like 2024-06-04T14:00:00+02:00 or 2024-06-04T12:00:00Z"


def moment(text: object) -> datetime:
    """The time in UTC, to the microsecond; a leap second is the second after it, 24:00 the next midnight.

    Raises:
        ValueError: it is no text, no such time, or has no offset.
    """
    match = _MOMENT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"should be an ISO 8601 time: {_EXAMPLE}")
    if match["offset"] is None:
        raise ValueError(f"needs a UTC offset: {_EXAMPLE}")
    # What Python 3.11 does not read: more than six digits of a fraction, 24:00, and second 60.
    day = _whole_day(match)
    leap = not day and (match["seconds"] or "").endswith("60")
    clock = "00:00:00" if day else match["hours"].removesuffix("60") + "59" if leap else match["hours"]
    fraction = "" if not match["fraction"] else "." + match["fraction"][1:7].ljust(6, "0")
    offset = match["offset"].upper()
    try:
        read = datetime.fromisoformat(f"{match['date']}T{clock}{fraction}{offset}")
        found = (read + timedelta(days=day, seconds=leap)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is no time that there is: {_EXAMPLE}") from error
    if found < _EARLIEST:
        raise ValueError("is before 1970")
    return found


def _whole_day(match: "re.Match[str]") -> bool:
    """Whether it is 24:00, the end of the day, which is the start of the next one."""
    return re.fullmatch(r"24(:?00(:?00)?)?", match["hours"]) is not None and not (match["fraction"] or "").strip(".,0")


def _in_an_address(text: object) -> datetime:
    """The same as a parameter: a `+` that is not written %2B has become a space."""
    try:
        return moment(text)
    except ValueError as error:
        raise ValueError(f"{error}; in an address + is written %2B") from error


Moment = Annotated[datetime, BeforeValidator(moment), WithJsonSchema({"type": "string", "format": "date-time"})]
MomentInAddress = Annotated[
    datetime, BeforeValidator(_in_an_address), WithJsonSchema({"type": "string", "format": "date-time"})
]
