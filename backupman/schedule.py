"""When a job is due: cron lines with their standard meaning, `@daily` and its kin, intervals, and daylight saving.

Due times come from cronsim, which follows Debian's cron: Sunday is 0 and 7, names work, a restricted day of month and
a restricted weekday are alternatives; a line with a fixed hour runs once in the hour that daylight saving skips and
once in the one that it repeats, a line with a wildcard hour or minute runs in both.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from backupman.registry import nearest

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_HELP = "write 5 fields (minute hour day month weekday), 6 with leading seconds, or @daily"


@dataclass(frozen=True)
class Schedule:
    """A cron line in a time zone, or an interval. Times go in and come out aware, in UTC.

    An interval counts from `anchor`, the time when the schedule was first seen.
    """

    line: str | None
    every: timedelta | None
    zone: tzinfo

    def __str__(self) -> str:
        return self.line or f"every {self.every}"

    def due(self, after: datetime, anchor: datetime) -> Iterator[datetime]:
        """Every due time later than `after`, in order, without end."""
        if self.every is not None:
            count = (after - anchor) // self.every + 1
            while True:
                yield anchor + max(count, 1) * self.every
                count = max(count, 1) + 1
        seconds, minutes = self._parts()
        start = after.astimezone(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
        for minute in CronSim(minutes, start.astimezone(self.zone)):
            for second in seconds:
                found = minute.astimezone(UTC) + timedelta(seconds=second)
                if found > after:
                    yield found

    def latest(self, until: datetime, anchor: datetime) -> datetime | None:
        """The newest due time that is not later than `until`, if there is one after `anchor`."""
        if self.every is not None:
            count = (until - anchor) // self.every
            return anchor + count * self.every if count >= 1 else None
        _, minutes = self._parts()
        at = until.astimezone(UTC).replace(second=0, microsecond=0)
        for minute in islice(CronSim(minutes, at.astimezone(self.zone), reverse=True), 1):
            at = minute.astimezone(UTC) - timedelta(minutes=1)
        # cronsim steps over the repeated hour when it goes back, so the last steps are made forwards
        found = list(takewhile(lambda due: due <= until, self.due(max(at, anchor), anchor)))
        return found[-1] if found else None

    def interval(self, at: datetime, anchor: datetime) -> timedelta:
        """The time between the two due times after `at`."""
        first, second = islice(self.due(at, anchor), 2)
        return second - first

    def _parts(self) -> tuple[list[int], str]:
        """The seconds within a due minute, and the line for the minutes, with Debian's daylight-saving rules."""
        fields = _plain(self.line or "").split()
        if len(fields) == 5:
            return [0], " ".join(fields)
        return sorted(CronSim(f"{fields[0]} * * * * *", datetime.now(UTC)).seconds), " ".join(fields[1:])


def _plain(line: str) -> str:
    return _ALIASES.get(line.strip().lower(), line.strip())


def zone_of(name: str | None) -> tzinfo:
    """The zone of that name; without one the host's own, by its name, so that daylight saving is known.

    Raises:
        ValueError: no such zone.
    """
    if name is None:
        return _host_zone()
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone{nearest(name, sorted(available_timezones()))}") from error


def _host_zone() -> tzinfo:
    try:
        return ZoneInfo(str(Path("/etc/localtime").resolve()).split("zoneinfo/")[1])
    except (IndexError, KeyError, ValueError, OSError):
        return ZoneInfo("UTC") if not time.timezone else datetime.now(UTC).astimezone().tzinfo or UTC


def check_cron(value: str | None) -> str | None:
    """The line as it is; raises ValueError when it is no schedule or can never be due."""
    if value is None:
        return None
    try:
        next(CronSim(_plain(value), datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"{value!r} is not a schedule ({error or 'it is never due'}): {_HELP}") from error
    return value


def check_timezone(value: str | None) -> str | None:
    """The name as it is; raises ValueError for an unknown zone."""
    if value is not None:
        zone_of(value)
    return value
