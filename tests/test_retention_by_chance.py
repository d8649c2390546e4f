"""What holds for all copies and all rules together, whatever they are."""

from datetime import UTC, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from backupman.retention import FOR_EVER, Copy, Retention, judge
from tests.test_retention import MIB, NOW, copy

copies = st.lists(
    st.builds(
        copy,
        st.floats(-10, 1000),
        database=st.sampled_from("ab"),
        drive=st.sampled_from("xy"),
        source=st.sampled_from("st"),
        size=st.integers(0, 100 * MIB),
        pinned=st.sampled_from([None, None, NOW - timedelta(1), NOW + timedelta(1), FOR_EVER]),
        proved=st.booleans(),
        doubtful=st.booleans(),
    ),
    max_size=30,
    unique_by=lambda each: each.id,
)
counts = st.none() | st.integers(1, 5)
rules = st.builds(
    lambda **given: Retention(**{name: value for name, value in given.items() if value is not None}),
    keep_within=st.none() | st.integers(1, 100).map(lambda days: timedelta(days=days)),
    keep_last=counts,
    keep_hourly=counts,
    keep_daily=counts,
    keep_weekly=counts,
    keep_monthly=counts,
    keep_yearly=counts,
    value=st.none() | st.integers(1, 400),
    max_total_size=st.none() | st.integers(1, 200 * MIB),
    keep_proved=st.none() | st.integers(0, 3),
)
zones = st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")])


@given(copies, rules, zones)
def test_the_newest_the_pinned_and_the_future_always_stay(
    given_copies: list[Copy], given_rules: Retention, zone: ZoneInfo
) -> None:
    verdicts = judge(given_copies, given_rules, NOW, zone)
    assert sorted(v.copy.id for v in verdicts) == sorted(each.id for each in given_copies)
    for verdict in verdicts:
        assert verdict.reason
        if verdict.keep:
            continue
        gone = verdict.copy
        assert gone.created_at <= NOW + timedelta(minutes=5)
        assert not (gone.pinned_until and gone.pinned_until > NOW)
        newer = [v for v in verdicts if v.copy.place == gone.place and v.copy.created_at >= gone.created_at and v.keep]
        assert [v for v in newer if v.copy.created_at <= NOW + timedelta(minutes=5)]


@given(copies, rules, zones)
def test_the_last_proved_ones_of_each_place_always_stay(
    given_copies: list[Copy], given_rules: Retention, zone: ZoneInfo
) -> None:
    verdicts = judge(given_copies, given_rules, NOW, zone)
    for place in {each.place for each in given_copies}:
        of_place = [v for v in verdicts if v.copy.place == place and v.copy.proved_at]
        newest_first = sorted(of_place, key=lambda v: (v.copy.created_at, v.copy.id), reverse=True)
        count = given_rules.keep_proved
        assert all(v.keep for v in newest_first[:count])
        assert all(v.keep for v in [v for v in newest_first if not v.copy.doubtful][:count])


@given(copies, rules, zones)
def test_of_each_place_the_newest_copy_without_a_doubt_stays(
    given_copies: list[Copy], given_rules: Retention, zone: ZoneInfo
) -> None:
    verdicts = judge(given_copies, given_rules, NOW, zone)
    for place in {each.place for each in given_copies}:
        sound = [v for v in verdicts if v.copy.place == place and not v.copy.doubtful]
        past = [v for v in sound if v.copy.created_at <= NOW + timedelta(minutes=5)]
        assert all(v.keep for v in sorted(past, key=lambda v: (v.copy.created_at, v.copy.id))[-1:])


@given(copies, rules, zones)
def test_places_do_not_touch_each_other(given_copies: list[Copy], given_rules: Retention, zone: ZoneInfo) -> None:
    together = {v.copy.id: v.keep for v in judge(given_copies, given_rules, NOW, zone)}
    for place in {each.place for each in given_copies}:
        alone = judge([each for each in given_copies if each.place == place], given_rules, NOW, zone)
        assert {v.copy.id: v.keep for v in alone} == {v.copy.id: together[v.copy.id] for v in alone}


@given(copies, rules, zones)
def test_what_was_pruned_once_is_not_pruned_again(
    given_copies: list[Copy], given_rules: Retention, zone: ZoneInfo
) -> None:
    staying = [v.copy for v in judge(given_copies, given_rules, NOW, zone) if v.keep]
    assert all(v.keep for v in judge(staying, given_rules, NOW, zone))


@given(copies, rules, zones, st.randoms())
def test_the_order_does_not_matter(
    given_copies: list[Copy], given_rules: Retention, zone: ZoneInfo, random: Any
) -> None:
    shuffled = list(given_copies)
    random.shuffle(shuffled)
    assert judge(shuffled, given_rules, NOW, zone) == judge(given_copies, given_rules, NOW, zone)
