"""Times as scripts send them: with an offset or not at all."""

from datetime import UTC, datetime, timedelta

import pytest

from backupman.api.timestamps import moment

NOON = datetime(2024, 6, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-04T14:00:00+02:00",
        "2024-06-04T12:00:00Z",
        "2024-06-04T12:00:00+00:00",
        "2024-06-04T12:00:00-00:00",
        "2024-06-04t12:00:00z",
        "2024-06-04 12:00:00Z",
        "2024-06-04T12:00Z",
        "2024-06-04T14:00+02",
        "2024-06-04T14:00:00+0200",
        "20240604T120000Z",
        "2024-W23-2T12:00:00Z",
        "2024-06-04T12:00:00.0000000Z",
        "2024-06-04T12:00:00,000Z",
        " 2024-06-04T12:00:00Z\r\n",
        "2024-06-03T12:01:00-23:59",
    ],
)
def test_one_moment_in_many_ways(text: str) -> None:
    assert moment(text) == NOON
    assert moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("1", 100_000), ("123", 123_000), ("123456", 123_456), ("1234567", 123_456), ("999999999999", 999_999)],
)
def test_fractions_of_any_length(text: str, microseconds: int) -> None:
    assert moment(f"2024-06-04T12:00:00.{text}Z") == NOON + timedelta(microseconds=microseconds)
    assert moment(f"2024-06-04T14:00:00.{text}+02:00") == NOON + timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-04T24:00:00Z", datetime(2024, 6, 5, tzinfo=UTC)),
        ("2024-12-31T24:00Z", datetime(2025, 1, 1, tzinfo=UTC)),
        ("2024-06-04T24:00:00.000+02:00", datetime(2024, 6, 4, 22, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60.5Z", datetime(2017, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("20161231T235960Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_what_python_does_not_read_by_itself(text: str, expected: datetime) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    "text", ["2024-06-04T12:00:00", "20240604T120000", "2024-06-04 12:00", "2024-06-04T12:00:00.5"]
)
def test_without_an_offset_it_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="needs a UTC offset: write it like 2024-06-04T14:00:00"):
        moment(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-06-04",
        "2024-06-04Z",
        "1717502400",
        1717502400,
        None,
        ["2024-06-04T12:00:00Z"],
        "12:00:00Z",
        "2024-06-04x12:00:00Z",
        "2024-13-04T12:00:00Z",
        "2024-06-31T12:00:00Z",
        "2024-06-04T25:00:00Z",
        "2024-06-04T24:00:01Z",
        "2024-06-04T24:00:00.1Z",
        "2024-06-04T12:60:00Z",
        "2024-06-04T12:00:61Z",
        "2024-06-04T12:00:00+24:00",
        "2024-06-04T12:00:00 UTC",
        "2024-06-04T12.00.00Z",
        "٢٠٢٤-06-04T12:00:00Z",
        "2024-06-04T12:00:00.Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "1969-12-31T23:59:59Z",
        "Tue, 04 Jun 2024 12:00:00 GMT",
        "2024-06-04T12:00:00Z" + "0" * 100_000,
    ],
)
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"should be an ISO 8601 time|is no time that there is|is before 1970"):
        moment(text)
