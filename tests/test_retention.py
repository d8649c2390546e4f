"""Which copies stay and why: every rule by itself, all together, and what no rule may ever let go."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from backupman.retention import FOR_EVER, Copy, Retention, Verdict, beyond, judge

NOW = datetime(2025, 7, 2, 10, 0, 0, tzinfo=UTC)
MIB = 2**20


def copy(
    days: float,
    *,
    database: str = "shop",
    drive: str = "disk",
    source: str = "db",
    size: int = MIB,
    pinned: datetime | None = None,
    proved: bool = False,
    doubtful: bool = False,
) -> Copy:
    """A copy that was made so many days ago."""
    made = NOW - timedelta(days=days)
    return Copy(
        f"{source}/{database}/{drive}/{days}",
        source,
        database,
        drive,
        made,
        size,
        pinned,
        NOW if proved else None,
        doubtful,
    )


def judged(copies: list[Copy], failing: list[tuple[str, str]] | None = None, **rules: Any) -> list[Verdict]:
    return judge(copies, Retention(**rules), NOW, UTC, failing or [])


def kept(copies: list[Copy], **rules: Any) -> list[Copy]:
    """The copies that stay, the newest first."""
    return [verdict.copy for verdict in judged(copies, **rules) if verdict.keep]


def reasons(copies: list[Copy], **rules: Any) -> list[str]:
    """What is said of each copy, `-` before those that go."""
    return [("" if verdict.keep else "-") + verdict.reason for verdict in judged(copies, **rules)]


def test_by_age_is_the_rule_without_others() -> None:
    copies = [copy(1), copy(30), copy(30.001), copy(400)]
    assert kept(copies) == copies[:2]
    assert kept(copies, by="age", value=400) == copies
    assert reasons(copies) == ["the newest", "younger than 30d", "-older than 30d", "-older than 30d"]


def test_within_keeps_all_that_are_younger() -> None:
    copies = [copy(1), copy(6.9), copy(7.1)]
    assert kept(copies, keep_within="7d") == copies[:2]
    assert kept(copies, keep_within="7d", by="age", value=8) == copies
    assert kept(copies, keep_last=1, value=8) == copies, "an age is a rule of its own, named or not"
    assert reasons(copies, keep_within="7d")[-1] == "-older than 7d"


def test_the_last_ones_are_counted() -> None:
    copies = [copy(day) for day in range(5)]
    assert kept(copies, keep_last=3) == copies[:3]
    assert reasons(copies, keep_last=2) == ["the newest", "last 2 of 2", *["-no rule keeps it"] * 3]


def test_the_newest_of_each_period_stays() -> None:
    hours = [copy(hour / 24) for hour in range(0, 100, 3)]
    days = kept(hours, keep_daily=3)
    assert [f"{each.created_at:%d %H}" for each in days] == ["02 10", "01 22", "30 22"]
    assert [f"{each.created_at:%d %H}" for each in kept(hours, keep_hourly=2)] == ["02 10", "02 07"]


def test_a_period_without_copies_is_not_counted() -> None:
    copies = [copy(0), copy(40), copy(80), copy(800)]
    assert kept(copies, keep_monthly=3) == copies[:3]
    assert kept(copies, keep_yearly=2) == [copies[0], copies[3]]
    assert reasons(copies, keep_yearly=2)[3] == "yearly 2 of 2 (2023)"


def test_weeks_are_those_of_iso() -> None:
    across_new_year = [
        Copy("a", "db", "shop", "disk", datetime(2025, 1, 1, tzinfo=UTC), 1),
        Copy("b", "db", "shop", "disk", datetime(2024, 12, 30, tzinfo=UTC), 1),
        Copy("c", "db", "shop", "disk", datetime(2024, 12, 29, tzinfo=UTC), 1),
    ]
    assert [each.id for each in kept(across_new_year, keep_weekly=9)] == ["a", "c"]


def test_rules_add_up() -> None:
    copies = [copy(day) for day in range(100)]
    staying = {each.id for each in kept(copies, keep_daily=7, keep_weekly=4, keep_monthly=3)}
    for rule in ({"keep_daily": 7}, {"keep_weekly": 4}, {"keep_monthly": 3}):
        assert {each.id for each in kept(copies, **rule)} <= staying
    assert len(staying) == 10


def test_days_are_those_of_the_zone() -> None:
    late, early = (
        Copy("late", "db", "shop", "disk", datetime(2025, 6, 1, 22, 30, tzinfo=UTC), 1),
        Copy("early", "db", "shop", "disk", datetime(2025, 6, 1, 21, 30, tzinfo=UTC), 1),
    )
    rules = Retention(keep_daily=5)
    assert [v.keep for v in judge([late, early], rules, NOW, UTC)] == [True, False]
    assert [v.keep for v in judge([late, early], rules, NOW, ZoneInfo("Europe/Berlin"))] == [True, True]


def test_both_hours_of_a_night_that_repeats_one_count() -> None:
    first, second = (
        Copy("first", "db", "shop", "disk", datetime(2025, 10, 26, 0, 30, tzinfo=UTC), 1),
        Copy("second", "db", "shop", "disk", datetime(2025, 10, 26, 1, 30, tzinfo=UTC), 1),
    )
    later = datetime(2025, 10, 27, tzinfo=UTC)
    assert all(v.keep for v in judge([first, second], Retention(keep_hourly=5), later, ZoneInfo("Europe/Berlin")))


def test_what_is_too_large_goes_from_the_oldest_on() -> None:
    copies = [copy(day, size=10 * MIB) for day in range(5)]
    assert kept(copies, max_total_size="25MiB") == copies[:2]
    assert reasons(copies, max_total_size="25MiB")[1:3] == [
        "there is room in 25.0 MiB",
        "-all together are larger than 25.0 MiB",
    ]
    assert kept(copies, max_total_size="25MiB", keep_last=4) == copies[:2]
    assert kept(copies, max_total_size="1GiB", keep_last=3) == copies[:3]
    assert kept(copies, max_total_size="1GiB") == copies


def test_the_floor_wins_over_the_size_and_that_is_said() -> None:
    copies = [copy(0, size=100 * MIB), copy(1, size=MIB), copy(2, size=MIB, pinned=FOR_EVER)]
    verdicts = judged(copies, max_total_size="50MiB")
    assert [verdict.keep for verdict in verdicts] == [True, False, True]
    (told,) = beyond(verdicts, Retention(max_total_size="50MiB"))
    assert told == (
        "db/shop takes 101 MiB on disk, more than max_total_size of 50.0 MiB: what is left may not be removed "
        "(the newest, pinned)"
    )
    assert beyond(judged(copies, max_total_size="1GiB"), Retention(max_total_size="1GiB")) == []


def test_the_last_that_a_drill_has_proved_stays() -> None:
    copies = [copy(0), copy(1), copy(40, proved=True), copy(50, proved=True), copy(60)]
    assert reasons(copies, keep_last=2) == [
        "the newest",
        "last 2 of 2",
        "proved by a drill",
        *["-no rule keeps it"] * 2,
    ]
    assert kept(copies, keep_last=1, keep_proved=2) == [copies[0], *copies[2:4]]
    assert kept(copies, keep_last=1, keep_proved=0) == copies[:1]


def test_a_proved_copy_uses_up_a_number_as_any_other() -> None:
    copies = [copy(0), copy(1, proved=True), copy(2), copy(3)]
    assert kept(copies, keep_last=2) == copies[:2]


def test_where_the_newest_is_known_to_be_bad_the_newest_good_one_stays_too() -> None:
    copies = [copy(0, doubtful=True), copy(1, doubtful=True), copy(2), copy(3)]
    assert reasons(copies, keep_last=1) == [
        "the newest",
        "-no rule keeps it",
        "the newest that is not known to be bad",
        "-no rule keeps it",
    ]


def test_a_proved_copy_that_is_doubtful_since_is_not_the_only_one_that_stays() -> None:
    copies = [copy(0), copy(10, proved=True, doubtful=True), copy(20, proved=True), copy(30, proved=True)]
    assert kept(copies, keep_last=1) == copies[:3]


def test_the_proved_one_wins_over_the_size_and_that_is_said() -> None:
    copies = [copy(0, size=10 * MIB), copy(1, size=10 * MIB), copy(2, size=90 * MIB, proved=True)]
    verdicts = judged(copies, max_total_size="50MiB")
    assert [verdict.keep for verdict in verdicts] == [True, False, True]
    (told,) = beyond(verdicts, Retention(max_total_size="50MiB"))
    assert told.endswith("what is left may not be removed (the newest, proved by a drill)")


def test_a_pinned_copy_stays_and_uses_up_no_number() -> None:
    copies = [copy(0), copy(1, pinned=NOW + timedelta(days=1)), copy(2), copy(3, pinned=NOW - timedelta(days=1))]
    assert reasons(copies, keep_last=2) == [
        "the newest",
        "pinned until 2025-07-03 10:00",
        "last 2 of 2",
        "-no rule keeps it",
    ]
    assert reasons([copy(0), copy(400, pinned=FOR_EVER)])[1] == "pinned"


def test_a_clock_that_was_ahead_pushes_nothing_out() -> None:
    future, newest, older = copy(-400), copy(0), copy(1)
    assert reasons([future, newest, older], keep_last=1) == ["its time lies ahead", "the newest", "-no rule keeps it"]
    assert kept([future, older], keep_last=1) == [future, older]


def test_a_clock_that_leaps_ahead_leaves_what_was_young_until_then() -> None:
    days = [copy(day) for day in (0, *range(365, 400))]
    assert kept(days) == days[:32]
    assert reasons(days)[1] == "it was younger than 30d before a long pause"
    assert reasons(days)[-1] == "-older than 30d"
    begun_anew = [copy(day) for day in (0, 29, 365, 366)]
    assert kept(begun_anew) == begun_anew
    assert kept([copy(30), *begun_anew]) == [*begun_anew[:2], copy(30)], "as long as the age, and no longer"


def test_backups_that_are_seldom_have_not_paused() -> None:
    weeks = [copy(day) for day in (0, 7, 14, 21)]
    assert kept(weeks, value=1) == weeks[:1]
    assert kept([copy(0), copy(2), copy(2.5)], value=1) == [copy(0)]
    assert kept([copy(0), copy(2.1), copy(2.5)], value=1) == [copy(0), copy(2.1), copy(2.5)]


def test_nothing_goes_while_newer_backups_fail() -> None:
    copies = [copy(100), copy(101), copy(100, database="blog"), copy(101, database="blog")]
    verdicts = judged(copies, failing=[("db", "shop")])
    assert [(v.copy.database, v.keep) for v in verdicts] == [
        ("blog", True),
        ("blog", False),
        ("shop", True),
        ("shop", True),
    ]
    assert verdicts[3].reason == "newer backups keep failing"


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"value": 0}, "value should be at least 1 day"),
        ({"keep_last": 0}, "greater than or equal to 1"),
        ({"keep_daily": -1}, "greater than or equal to 1"),
        ({"keep_within": "0s"}, "greater than"),
        ({"max_total_size": "0"}, "greater than 0"),
        ({"by": "count"}, "'age'"),
        ({"keep_dayly": 3}, "keep_dayly"),
    ],
)
def test_a_rule_that_would_keep_nothing_is_refused(rules: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Retention(**rules)
