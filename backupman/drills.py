"""What a drill asks a restored database, and what it found: the user's assertions, rows, and how long it took."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from operator import eq, ge, gt, le, lt, ne
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from backupman.events import View
from backupman.registry import Settings

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"!=": ne, ">=": ge, "<=": le, "=": eq, ">": gt, "<": lt}
_COMPARISON = re.compile(r"(!=|>=|<=|=|>|<)\s*(.+)", re.DOTALL)
_BETWEEN = re.compile(r"between\s+(.+?)\s+and\s+(.+)", re.DOTALL | re.IGNORECASE)
_QUOTED = re.compile(r"(['\"])(.*)\1", re.DOTALL)
_TRUTH = {"true": True, "t": True, "false": False, "f": False}
_HELP = "write an operator (= != > >= < <=) and a value, for example '> 100', or 'between 1 and 5'"

Value = Decimal | datetime | bool | str | None


def value_of(text: str | None) -> Value:
    """A number, a point in time (UTC where it names no zone), true or false; else the text. None is NULL."""
    if text is None:
        return None
    stripped = text.strip()
    if stripped.lower() in _TRUTH:
        return _TRUTH[stripped.lower()]
    try:
        number = Decimal(stripped)
    except InvalidOperation:
        return time_of(stripped) or text
    return number if number.is_finite() else text


def time_of(text: str) -> datetime | None:
    """A point in time that is written as ISO 8601, in UTC where it names no zone; None for any other text."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _expected(text: str) -> Value:
    """A value as an expectation writes it: what stands in quotes is text, null is NULL."""
    stripped = text.strip()
    if quoted := _QUOTED.fullmatch(stripped):
        return quoted[2]
    return None if stripped.lower() == "null" else value_of(stripped)


def _compared(found: Value, expected: Value, compare: Callable[[Any, Any], bool]) -> bool:
    """Raises ValueError where one cannot be compared with the other."""
    if isinstance(expected, bool) and isinstance(found, Decimal):
        found = bool(found)
    if type(found) is type(expected) and not (found is None and compare not in (eq, ne)):
        return compare(found, expected)
    if compare in (eq, ne):
        return compare is ne
    raise ValueError


def holds(expect: str, found: str | None) -> bool:
    """Whether what was found is as expected.

    Numbers, points in time and texts are each compared as what they are; a text and a number are never equal.

    Raises:
        ValueError: the expectation cannot be read, or one cannot be compared with the other; the sentence says which.
    """
    tests = _tests(expect)
    try:
        # What is expected as text is compared as text, whatever it looks like.
        return all(
            _compared(found if isinstance(expected, str) else value_of(found), expected, compare)
            for compare, expected in tests
        )
    except ValueError:
        what = "nothing (NULL)" if found is None else repr(found)
        raise ValueError(f"the answer was {what}, which cannot be compared with {expect!r}") from None


def _tests(expect: str) -> list[tuple[Callable[[Any, Any], bool], Value]]:
    text = expect.strip()
    if between := _BETWEEN.fullmatch(text):
        low, high = _expected(between[1]), _expected(between[2])
        if type(low) is not type(high) or isinstance(low, bool | None):
            raise ValueError(f"{expect!r} is between two different kinds: write for example 'between 1 and 5'")
        if low > high:  # type: ignore[operator]  # both are of one kind
            raise ValueError(f"{expect!r} holds for nothing: write the smaller value first")
        return [(ge, low), (le, high)]
    comparison = _COMPARISON.fullmatch(text)
    if not comparison:
        raise ValueError(f"{expect!r} is no expectation: {_HELP}")
    compare, expected = _OPERATORS[comparison[1]], _expected(comparison[2])
    if isinstance(expected, str) and comparison[2].strip()[:1] in ("=", "<", ">", "!"):
        raise ValueError(f"{expect!r} is no expectation: {_HELP}")
    if isinstance(expected, bool | None) and compare not in (eq, ne):
        raise ValueError(f"{expect!r} is no expectation: null, true and false are only equal or not")
    return [(compare, expected)]


def _readable(expect: str) -> str:
    _tests(expect)
    return expect.strip()


class Assertion(Settings):
    """A question to a restored database, and the answer that shows that the dump was worth something."""

    database: str | None = Field(default=None, description="Of a source with several: only in this database.")
    sql: str = Field(min_length=1, description="One query; the first value of its first row is what counts.")
    expect: Annotated[str, AfterValidator(_readable)] = Field(
        description="What that value is: `= != > >= < <=` and a value, or `between A and B`."
    )


def _as_query(value: object) -> object:
    return {"sql": value} if isinstance(value, str) else value


class Freshness(Settings):
    """A question for the time of the newest row; a bare query will do."""

    sql: str = Field(min_length=1, description="The query for the time of the newest row.")
    database: str | None = Field(default=None, description="Of a source with several: only in this database.")


FreshnessSetting = Annotated[Freshness, BeforeValidator(_as_query)]


class Answer(View):
    """What came of an assertion."""

    sql: str = Field(description="What was asked.")
    expect: str = Field(description="What was expected.")
    found: str | None = Field(description="What was answered; null is NULL, or no answer.")
    good: bool = Field(description="Whether it was as expected.")
    error: str | None = Field(default=None, description="Why it could not be asked or compared.")


class DrillReport(View):
    """What a drill found in a copy that could be restored."""

    restore_seconds: float = Field(description="How long the restore took, from the drive to the last row: the RTO.")
    database: str = Field(description="What it was restored into; it is gone again.")
    tables: int = Field(description="Tables that were there.")
    rows: int = Field(description="Rows of them, as far as they were counted.")
    compared: bool = Field(description="Whether they were compared with the dump's manifest.")
    differences: list[str] = Field(description="How they differ from it.")
    assertions: list[Answer] = Field(description="What came of the assertions.")
    newest: str | None = Field(default=None, description="What the `freshness` query answered.")
    newest_age_seconds: float | None = Field(default=None, description="How old that was at the drill: the RPO.")
    problems: list[str] = Field(description="Everything that is not right, in sentences.")
    warnings: list[str] = Field(default_factory=list, description="What the restore warned of.")
