"""When a job is due: cron lines with their standard meaning, `@daily` and its kin, intervals, and daylight saving.

Matching times come from cronsim, which reads lines as Debian's cron does: Sunday is 0 and 7, names work, a restricted
day of month and a restricted weekday are alternatives. It is asked for local times without a zone, and their zone is
applied here, because with one it steps over half an hour where clocks change by half an hour (Lord Howe), and treats
lines of six fields differently: a line with a fixed hour runs once in the hour that daylight saving skips (at its end)
and once in the one that it repeats (in the first), a line with a wildcard hour runs in every hour that there is.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from heapq import merge
from itertools import takewhile
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from tzlocal import get_localzone

from backupman.errors import ConfigError
from backupman.registry import format_duration, nearest

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
_MINUTE = timedelta(minutes=1)
_LOOK_BACK = [timedelta(minutes=2), timedelta(hours=2), timedelta(days=2), timedelta(days=62), timedelta(days=366 * 50)]
"""How far `latest` looks for a due time; 50 years is where cronsim gives a line up."""


@dataclass(frozen=True)
class Schedule:
    """A cron line in a time zone, or an interval. Times go in and come out aware, in UTC.

    An interval counts from `anchor`, the time when the schedule was first seen.
    """

    line: str | None
    every: timedelta | None
    zone: tzinfo

    def __str__(self) -> str:
        return f"{self.line} ({self.zone})" if self.every is None else f"every {format_duration(self.every)}"

    def due(self, after: datetime, anchor: datetime) -> Iterator[datetime]:
        """Every due time later than `after`, in order, none twice, without end as far as calendars go."""
        return self._cron(after) if self.every is None else _intervals(self.every, after, anchor)

    def latest(self, until: datetime, anchor: datetime) -> datetime | None:
        """The newest due time that is not later than `until`, if there is one after `anchor`."""
        if self.every is not None:
            count = (until - anchor) // self.every
            return anchor + count * self.every if count >= 1 else None
        for back in _LOOK_BACK:
            start = max(until - back, anchor)
            newest = deque(takewhile(lambda due: due <= until, self.due(start, anchor)), maxlen=1)
            if newest:
                return newest[0]
            if start == anchor:
                break
        return None

    def interval(self, due: datetime, anchor: datetime) -> timedelta:
        """The time from one due time to the next."""
        return next(self.due(due, anchor), datetime.max.replace(tzinfo=UTC)) - due

    def _cron(self, after: datetime) -> Iterator[datetime]:
        fields = _plain(self.line or "").split()
        seconds = [0] if len(fields) == 5 else _seconds(fields.pop(0))
        start = _local(after, self.zone).replace(second=0, microsecond=0) - _MINUTE
        last = after
        for minute in self._minutes(" ".join(fields), start, every_hour=fields[1].startswith("*")):
            for second in seconds:
                due = minute + timedelta(seconds=second)
                if due > last:
                    yield due
                    last = due

    def _minutes(self, line: str, start: datetime, *, every_hour: bool) -> Iterator[datetime]:
        """The due minutes of a line of 5 fields after a local time, in UTC and in order; some come twice."""
        if not every_hour:
            return (_existing(minute, self.zone) for minute in CronSim(line, start))
        return merge(*(_instants(CronSim(line, start), self.zone, fold) for fold in (0, 1)))


def _intervals(every: timedelta, after: datetime, anchor: datetime) -> Iterator[datetime]:
    count = max((after - anchor) // every + 1, 1)
    try:
        while True:
            yield anchor + count * every
            count += 1
    except OverflowError:  # the end of the calendar
        return


def _local(time: datetime, zone: tzinfo) -> datetime:
    """The local time; where clocks will show it a second time, so much earlier that nothing of that is lost."""
    local = time.astimezone(zone)
    repeated = (local.utcoffset() or timedelta()) - (local.replace(fold=1).utcoffset() or timedelta())
    return local.replace(tzinfo=None) - max(repeated, timedelta())


def _instants(minutes: Iterable[datetime], zone: tzinfo, fold: int) -> Iterator[datetime]:
    """Local times in UTC, without those that do not exist; `fold` chooses the first or second of a repeated one."""
    for minute in minutes:
        instant = _in_utc(minute, zone, fold)
        if instant is not None:
            yield instant


def _existing(minute: datetime, zone: tzinfo) -> datetime:
    """A local time in UTC, the first if it is repeated; the end of the gap if it does not exist."""
    while (instant := _in_utc(minute, zone, fold=0)) is None:
        minute += _MINUTE
    return instant


def _in_utc(local: datetime, zone: tzinfo, fold: int) -> datetime | None:
    instant = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    return instant if instant.astimezone(zone).replace(tzinfo=None) == local else None


def _seconds(field: str) -> list[int]:
    return sorted(CronSim(f"{field} * * * * *", datetime(2024, 1, 1)).seconds)  # noqa: DTZ001 - only the field matters


def _plain(line: str) -> str:
    return _ALIASES.get(line.strip().lower(), line.strip())


def zone_of(name: str | None, *, needed: bool = True) -> tzinfo:
    """The zone of that name; without one the host's own, and where that cannot be told and is not `needed`, UTC.

    Raises:
        ValueError: no such zone.
        ConfigError: the host's own zone is needed, and cannot be told.
    """
    if name is None:
        return _host_zone(needed=needed)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone{nearest(name, sorted(available_timezones()))}") from error


def _host_zone(*, needed: bool) -> tzinfo:
    try:
        return get_localzone()
    except (LookupError, ValueError, OSError) as error:
        if not needed:
            return ZoneInfo("UTC")
        raise ConfigError(
            "the time zone of this host has no name that is known (see TZ and /etc/localtime): set TZ to one such as "
            "Europe/Berlin, or write `timezone` at every job that has a `cron` or a `verify` with one"
        ) from error


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
