"""When jobs are due, for whatever line and interval, compared with what the clocks of a place show."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from backupman.schedule import Schedule
from tests.test_schedule import NEVER, at, cron

# Windows of a few days around changes of the clocks; a day in Samoa that never was, a midnight that was skipped.
WINDOWS = [
    ("Europe/Berlin", "2026-03-27"),
    ("Europe/Berlin", "2026-10-23"),
    ("America/New_York", "2026-03-06"),
    ("America/New_York", "2026-10-30"),
    ("Australia/Lord_Howe", "2026-04-03"),
    ("Australia/Lord_Howe", "2026-10-02"),
    ("Asia/Kathmandu", "2026-06-01"),
    ("America/Sao_Paulo", "2018-11-02"),
    ("Pacific/Apia", "2011-12-28"),
    ("UTC", "2026-06-01"),
]
DAYS = 3
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Line:
    """A cron line, and its meaning in a form that no parser of ours or others has touched."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    every_hour: bool

    def __repr__(self) -> str:
        return self.text

    def matches(self, clock: datetime) -> bool:
        return clock.minute in self.minutes and clock.hour in self.hours


def field(highest: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field that may hold 0 to `highest`, and the numbers that it stands for."""
    everything = st.just(("*", frozenset(range(highest + 1))))
    steps = st.integers(2, 20).map(lambda step: (f"*/{step}", frozenset(range(0, highest + 1, step))))
    lists = st.sets(st.integers(0, highest), min_size=1, max_size=4).map(
        lambda numbers: (",".join(map(str, sorted(numbers))), frozenset(numbers))
    )
    ranges = st.tuples(st.integers(0, highest), st.integers(0, highest)).map(
        lambda ends: (f"{min(ends)}-{max(ends)}", frozenset(range(min(ends), max(ends) + 1)))
    )
    return everything | steps | lists | ranges


LINES = st.tuples(field(59), field(23)).map(
    lambda fields: Line(
        f"{fields[0][0]} {fields[1][0]} * * *", fields[0][1], fields[1][1], every_hour=fields[1][0].startswith("*")
    )
)


@cache
def clocks(zone: str, day: str) -> list[tuple[datetime, datetime]]:
    """Every minute of a window in UTC, with what clocks show then."""
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    minutes = [start + number * MINUTE for number in range(DAYS * 24 * 60)]
    return [(minute, minute.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for minute in minutes]


def expected(line: Line, zone: str, day: str) -> list[datetime]:
    """By looking at the clock every minute: when it shows a time of the line, or first shows one past it."""
    window = clocks(zone, day)
    if line.every_hour:
        return [minute for minute, clock in window[1:] if line.matches(clock)]
    found, furthest = [], window[0][1]
    for minute, clock in window[1:]:
        passed = (furthest + number * MINUTE for number in range(1, (clock - furthest) // MINUTE + 1))
        if any(line.matches(time) for time in passed):
            found.append(minute)
        furthest = max(furthest, clock)
    return found


@given(line=LINES, window=st.sampled_from(WINDOWS), second=st.integers(0, 59))
@settings(max_examples=60, deadline=None)
def test_a_line_is_due_when_the_clock_shows_it(line: Line, window: tuple[str, str], second: int) -> None:
    zone, day = window
    start, end = clocks(zone, day)[0][0], clocks(zone, day)[-1][0]
    five, six = cron(line.text, zone), cron(f"{second} {line.text}", zone)
    wanted = expected(line, zone, day)
    assert list(takewhile(lambda due: due <= end, five.due(start, NEVER))) == wanted
    later = timedelta(seconds=second)
    assert list(takewhile(lambda due: due <= end + later, six.due(start + later, NEVER))) == [
        due + later for due in wanted
    ]


@given(
    line=LINES,
    window=st.sampled_from(WINDOWS),
    offset=st.integers(0, DAYS * 24 * 60 * 60 - 1),
    seconds=st.sampled_from(["", "0 ", "30 ", "*/25 "]),
)
@settings(max_examples=60, deadline=None)
def test_the_latest_due_time_is_the_last_one_on_the_way_there(
    line: Line, window: tuple[str, str], offset: int, seconds: str
) -> None:
    schedule = cron(seconds + line.text, window[0])
    start = clocks(*window)[0][0]
    until = start + timedelta(seconds=offset, microseconds=offset % 3)
    on_the_way = list(takewhile(lambda due: due <= until, schedule.due(start, NEVER)))
    assert schedule.latest(until, start) == (on_the_way[-1] if on_the_way else None)
    following = list(islice(schedule.due(until, NEVER), 5))
    assert list(islice(_from(schedule, start, until), 5)) == following
    assert following == sorted(set(following))


def _from(schedule: Schedule, start: datetime, until: datetime) -> Iterator[datetime]:
    """The due times after `until`, found from an earlier start."""
    return (due for due in schedule.due(start, NEVER) if due > until)


@given(
    every=st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=40)),
    passed=st.timedeltas(min_value=timedelta(days=-2), max_value=timedelta(days=400)),
)
def test_an_interval_is_due_at_its_multiples(every: timedelta, passed: timedelta) -> None:
    schedule, seen = Schedule(None, every, UTC), at("2026-01-01")
    now = seen + passed
    after = next(schedule.due(now, seen))
    assert after > now
    assert (after - seen) % every == timedelta(0)
    latest = schedule.latest(now, seen)
    assert latest == (after - every if after - every > seen else None)
