"""When jobs are due: standard cron lines, intervals, and what daylight saving makes of them."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest

from backupman.errors import ConfigError
from backupman.schedule import Schedule, zone_of

NEVER = datetime(2000, 1, 1, tzinfo=UTC)
"""An anchor that lies before everything."""


def cron(line: str, zone: str = "UTC") -> Schedule:
    return Schedule(line, None, ZoneInfo(zone))


def at(text: str) -> datetime:
    """A time with a UTC offset, or in UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def local(schedule: Schedule, start: str, count: int) -> list[str]:
    """The next due times as clocks show them there: `03-29 03:00+0200`."""
    due = islice(schedule.due(at(start), NEVER), count)
    return [f"{time.astimezone(schedule.zone):%m-%d %H:%M%z}" for time in due]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("30 2 * * *", ["2026-01-01 02:30:00", "2026-01-02 02:30:00"]),
        ("15 30 2 * * *", ["2026-01-01 02:30:15", "2026-01-02 02:30:15"]),
        ("*/20 30 2 * * *", ["2026-01-01 02:30:00", "2026-01-01 02:30:20", "2026-01-01 02:30:40"]),
        ("0 0 * * 0", ["2026-01-04 00:00:00", "2026-01-11 00:00:00"]),
        ("0 0 * * 7", ["2026-01-04 00:00:00", "2026-01-11 00:00:00"]),
        ("0 0 * * SUN", ["2026-01-04 00:00:00", "2026-01-11 00:00:00"]),
        ("0 0 * * 1", ["2026-01-05 00:00:00", "2026-01-12 00:00:00"]),
        ("0 0 * * mon-wed", ["2026-01-05 00:00:00", "2026-01-06 00:00:00", "2026-01-07 00:00:00"]),
        ("0 0 13 * 5", ["2026-01-02 00:00:00", "2026-01-09 00:00:00", "2026-01-13 00:00:00"]),
        ("0 0 13 * *", ["2026-01-13 00:00:00", "2026-02-13 00:00:00"]),
        ("0 0 */2 * 1", ["2026-01-05 00:00:00", "2026-01-19 00:00:00"]),
        ("0 0 1 feb,JUL *", ["2026-02-01 00:00:00", "2026-07-01 00:00:00", "2027-02-01 00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("5/20 9-10 * * *", ["2026-01-01 09:05:00", "2026-01-01 09:25:00", "2026-01-01 09:45:00"]),
        ("@hourly", ["2026-01-01 01:00:00", "2026-01-01 02:00:00"]),
        ("@daily", ["2026-01-02 00:00:00", "2026-01-03 00:00:00"]),
        ("@midnight", ["2026-01-02 00:00:00"]),
        ("@weekly", ["2026-01-04 00:00:00"]),
        ("@monthly", ["2026-02-01 00:00:00"]),
        ("@Yearly", ["2027-01-01 00:00:00"]),
        ("@annually", ["2027-01-01 00:00:00"]),
    ],
)
def test_a_line_has_its_standard_meaning(line: str, expected: list[str]) -> None:
    due = islice(cron(line).due(at("2026-01-01"), NEVER), len(expected))
    assert [f"{time:%Y-%m-%d %H:%M:%S}" for time in due] == expected


def test_a_due_time_lies_after_the_time_that_is_asked_for() -> None:
    daily = cron("30 2 * * *")
    assert next(daily.due(at("2026-01-01 02:29:59.999999"), NEVER)) == at("2026-01-01 02:30")
    assert next(daily.due(at("2026-01-01 02:30"), NEVER)) == at("2026-01-02 02:30")
    assert daily.latest(at("2026-01-01 02:30"), NEVER) == at("2026-01-01 02:30")
    assert daily.latest(at("2026-01-01 02:29:59.999999"), NEVER) == at("2025-12-31 02:30")


@pytest.mark.parametrize("line", ["30 2 * * *", "*/15 2 * * *", "0 15 2 * * *", "*/30 */15 2 * * *"])
def test_a_fixed_hour_that_daylight_saving_skips_is_due_once_when_it_is_over(line: str) -> None:
    due = takewhile(
        lambda time: time < at("2026-03-29 12:00"), cron(line, "Europe/Berlin").due(at("2026-03-28 12:00"), NEVER)
    )
    minutes = {time.replace(second=0) for time in due}
    assert minutes == {at("2026-03-29 03:00+02:00")}


def test_a_fixed_hour_that_comes_twice_is_due_in_the_first() -> None:
    assert local(cron("30 2 * * *", "Europe/Berlin"), "2026-10-24 12:00", 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]
    assert local(cron("*/30 2 * * *", "Europe/Berlin"), "2026-10-24 12:00", 3) == [
        "10-25 02:00+0200",
        "10-25 02:30+0200",
        "10-26 02:00+0100",
    ]


def test_a_wildcard_hour_is_due_in_every_hour_that_there_is() -> None:
    hourly = cron("30 * * * *", "Europe/Berlin")
    assert local(hourly, "2026-03-29 00:00", 3) == ["03-29 01:30+0100", "03-29 03:30+0200", "03-29 04:30+0200"]
    assert local(hourly, "2026-10-24 23:40", 4) == [
        "10-25 02:30+0200",
        "10-25 02:30+0100",
        "10-25 03:30+0100",
        "10-25 04:30+0100",
    ]


def test_nothing_is_lost_where_clocks_change_by_half_an_hour() -> None:
    howe = "Australia/Lord_Howe"
    assert local(cron("*/20 * * * *", howe), "2026-04-04 14:30", 6) == [
        "04-05 01:40+1100",
        "04-05 01:40+1030",
        "04-05 02:00+1030",
        "04-05 02:20+1030",
        "04-05 02:40+1030",
        "04-05 03:00+1030",
    ]
    assert local(cron("10 2 * * *", howe), "2026-10-03 00:00", 2) == ["10-04 02:30+1100", "10-05 02:10+1100"]


def test_a_day_that_a_country_skips_is_due_when_it_is_over() -> None:
    apia = cron("0 2 * * *", "Pacific/Apia")
    assert local(apia, "2011-12-29 00:00-10:00", 3) == ["12-29 02:00-1000", "12-31 00:00+1400", "12-31 02:00+1400"]


def test_two_due_times_in_a_skipped_hour_are_one() -> None:
    assert local(cron("0,30 2,3 * * *", "Europe/Berlin"), "2026-03-29 00:00", 3) == [
        "03-29 03:00+0200",
        "03-29 03:30+0200",
        "03-30 02:00+0200",
    ]


def test_an_interval_counts_from_when_it_was_first_seen() -> None:
    schedule, seen = Schedule(None, timedelta(hours=6), UTC), at("2026-01-01 10:00")
    assert list(islice(schedule.due(seen, seen), 2)) == [at("2026-01-01 16:00"), at("2026-01-01 22:00")]
    assert next(schedule.due(at("2025-12-24"), seen)) == at("2026-01-01 16:00")
    assert next(schedule.due(at("2026-03-01 10:00"), seen)) == at("2026-03-01 16:00")
    assert schedule.latest(at("2026-01-01 15:59"), seen) is None
    assert schedule.latest(at("2026-01-01 16:00"), seen) == at("2026-01-01 16:00")
    assert schedule.latest(at("2025-12-24"), seen) is None


def test_an_interval_longer_than_the_calendar_is_never_due() -> None:
    schedule = Schedule(None, timedelta(days=4_000_000), UTC)
    assert list(schedule.due(at("2026-01-01"), at("2026-01-01"))) == []
    assert schedule.latest(at("2026-01-01"), at("2026-01-01")) is None
    assert schedule.interval(at("2026-01-01"), at("2026-01-01")) > timedelta(days=365_000)


def test_the_interval_of_a_line_is_the_time_to_its_next_due_time() -> None:
    workdays = cron("0 3 * * 1-5")
    assert workdays.interval(at("2026-01-01 03:00"), NEVER) == timedelta(days=1)
    assert workdays.interval(at("2026-01-02 03:00"), NEVER) == timedelta(days=3)
    assert cron("30 2 * * *", "Europe/Berlin").interval(at("2026-10-25 00:30"), NEVER) == timedelta(hours=25)


def test_the_latest_due_time_is_not_older_than_the_schedule() -> None:
    daily = cron("30 2 * * *")
    assert daily.latest(at("2026-01-01 10:00"), at("2026-01-01 02:29")) == at("2026-01-01 02:30")
    assert daily.latest(at("2026-01-01 10:00"), at("2026-01-01 02:30")) is None
    assert daily.latest(at("2026-01-01 10:00"), at("2026-02-01")) is None


def test_the_latest_due_time_of_a_rare_line_is_found() -> None:
    assert cron("0 0 29 2 *").latest(at("2026-01-01"), NEVER) == at("2024-02-29")
    assert cron("0 0 29 2 *").latest(at("2107-01-01"), at("2001-01-01")) == at("2104-02-29")
    assert cron("0 0 29 2 *").latest(at("2103-12-31"), at("2001-01-01")) == at("2096-02-29")


def test_a_schedule_is_named_with_what_it_depends_on() -> None:
    assert str(cron("30 2 * * *", "Europe/Berlin")) == "30 2 * * * (Europe/Berlin)"
    assert str(Schedule(None, timedelta(minutes=90), ZoneInfo("Europe/Berlin"))) == "every 90m"


def host_zone(**environment: str) -> subprocess.CompletedProcess[str]:
    """What a fresh process takes for the zone of its host."""
    return subprocess.run(
        [sys.executable, "-c", "from backupman.schedule import zone_of; print(zone_of(None))"],
        env={name: value for name, value in os.environ.items() if name != "TZ"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["Europe/Berlin", ":America/New_York", "UTC"])
def test_the_host_s_zone_is_the_one_that_tz_names(name: str) -> None:
    assert host_zone(TZ=name).stdout.strip() == name.lstrip(":")


def test_a_host_without_a_name_for_its_zone_is_refused_with_what_to_do() -> None:
    ended = host_zone(TZ="CET-1CEST,M3.5.0,M10.5.0/3")
    assert ended.returncode == 1
    assert f"{ConfigError.__name__}: the time zone of this host has no name" in ended.stderr
    assert "set TZ to one such as Europe/Berlin, or write `timezone`" in ended.stderr


def test_an_unknown_zone_is_met_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'Europe/Berlin'"):
        zone_of("Europe/Berln")
