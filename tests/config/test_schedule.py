"""Which schedules, durations and sizes a config takes."""

from datetime import timedelta, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from backupman.config import Job, plans
from backupman.errors import ConfigError
from backupman.registry import Duration, Size, format_duration, parse_duration, parse_size
from tests.config.conftest import WHOLE, Load

DURATION = TypeAdapter(Duration)
SIZE = TypeAdapter(Size)


@pytest.mark.parametrize(
    "line",
    [
        "0 3 * * *",
        "* * * * * *",
        "30 0 3 * * *",
        "*/10 * * * * *",
        "*/15 0-6,22 1,15 * MON-FRI",
        "0 0 1 jan,Dec *",
        "0 0 * * 7",
        "0 0 * * 0",
        "0 0 * * sun",
        "0 0 29 2 *",
        "  0   3 * * *  ",
        "@daily",
        "@Weekly",
        "@hourly",
        "@monthly",
        "@yearly",
        "@annually",
        "@midnight",
    ],
)
def test_a_schedule_is_kept_as_it_was_written(line: str) -> None:
    assert Job(label="a", cron=line).cron == line


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("daily", ""),
        ("@reboot", ""),
        ("@fortnightly", ""),
        ("* * * *", ""),
        ("* * * * * * *", ""),
        ("60 * * * *", "Bad minute"),
        ("0 24 * * *", "Bad hour"),
        ("0 0 32 * *", "Bad day-of-month"),
        ("0 0 * 13 *", "Bad month"),
        ("0 0 * * 8", "Bad day-of-week"),
        ("0 0 * * someday", "Bad day-of-week"),
        ("60 0 0 * * *", ""),
        ("*/0 * * * *", "Bad minute"),
        ("0 0 30 2 *", ""),
        ("0 0 31 4,6 *", ""),
    ],
)
def test_a_line_that_is_no_schedule_or_never_due_is_refused(line: str, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Job(label="a", cron=line)
    (error,) = refused.value.errors()
    assert error["loc"] == ("cron",)
    assert error["msg"].startswith(f"Value error, {line!r} is not a schedule")
    assert reason in error["msg"]
    assert "write 5 fields" in error["msg"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
def test_a_time_zone_has_a_name(zone: str) -> None:
    assert Job(label="a", timezone=zone).timezone == zone


@pytest.mark.parametrize(
    "zone", ["europe/berlin", "Europe", "CEST", "+02:00", "../../etc/passwd", "/etc/passwd", "a\0b"]
)
def test_what_names_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match="is not a time zone"):
        Job(label="a", timezone=zone)


def test_a_time_zone_in_the_wrong_case_is_met_with_the_right_one() -> None:
    with pytest.raises(ValidationError, match="did you mean 'Europe/Berlin'"):
        Job(label="a", timezone="europe/berlin")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("0.5s", 0.5),
        ("5s", 5),
        ("30m", 1800),
        ("1h", 3600),
        ("1.5h", 5400),
        ("2d", 172800),
        ("1w", 604800),
        ("90", 90),
        ("0", 0),
        ("0090", 90),
        (" 5 S ", 5),
        ("2 D", 172800),
    ],
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert DURATION.validate_python(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("number", [90, 0.5])
def test_a_number_is_in_seconds(number: float) -> None:
    assert DURATION.validate_python(number) == timedelta(seconds=number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "5x",
        "5 minutes",
        "-5s",
        "1h30m",
        "1e3",
        "5,5s",
        "PT5S",
        "0x5",
        "\N{ARABIC-INDIC DIGIT FIVE}s",
        "9" * 400,
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="duration"):
        DURATION.validate_python(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36500)))
def test_a_duration_is_written_as_it_is_read(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.5, "500ms"), (90, "90s"), (5400, "90m"), (604800, "7d"), (1e-6, "0.001ms")]
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text
    assert DURATION.dump_python(timedelta(seconds=seconds), mode="json") == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("512b", 512),
        ("8MiB", 8 * 2**20),
        ("8mb", 8 * 2**20),
        ("1 GB", 2**30),
        ("1.5g", 3 * 2**29),
        ("512k", 2**19),
        ("2T", 2**41),
        ("123456789012345678", 123456789012345678),
    ],
)
def test_a_size_has_a_unit_or_is_in_bytes(text: str, size: int) -> None:
    assert SIZE.validate_python(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5.5k", "8 miles", "1e3", "9" * 400])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is not a size"):
        SIZE.validate_python(text)


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_every_number_of_bytes_is_a_size(size: int) -> None:
    assert parse_size(str(size)) == size


def test_a_host_without_a_name_for_its_zone_refuses_what_has_a_cron_alone(
    loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> tzinfo:
        raise LookupError

    monkeypatch.setattr("backupman.schedule.get_localzone", unknown)
    for text in ("", "jobs: [{label: often, every: 1h}]", "jobs: [{label: n, cron: '@daily', timezone: Asia/Tokyo}]"):
        assert plans(loaded(WHOLE + text).config)
    for text in ("jobs: [{label: nightly, cron: '@daily'}]", "verify: {cron: '@daily'}"):
        with pytest.raises(ConfigError, match="set TZ to one such as"):
            plans(loaded(WHOLE + text).config)
