"""Whether a schedule can be understood: cron lines of 5 or 6 fields, `@daily` and its kin, and time zones."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from backupman.registry import nearest

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def check_cron(value: str | None) -> str | None:
    """The line as it is; raises ValueError when it is no schedule or can never be due."""
    if value is None:
        return None
    line = ALIASES.get(value.strip().lower(), value.strip())
    fields = line.split()
    if len(fields) == 6:
        seconds, line = fields[0], " ".join(fields[1:])
        _check(f"{seconds} * * * *", value)  # seconds have the range and the grammar of minutes
    _check(line, value)
    return value


def _check(line: str, written: str) -> None:
    try:
        next(CronSim(line, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(
            f"{written!r} is not a schedule ({error or 'it is never due'}): write 5 fields (minute hour day month "
            "weekday), 6 with leading seconds, or @daily"
        ) from error


def check_timezone(value: str | None) -> str | None:
    """The name as it is; raises ValueError for an unknown zone."""
    if value is None:
        return None
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        known = sorted(available_timezones())
        raise ValueError(f"{value!r} is not a time zone{nearest(value, known)}") from error
    return value
