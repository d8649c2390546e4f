"""Limits on guessing, on requests and on downloads, with a clock of the test's own."""

import pytest

from backupman.api.limits import Guesses, Rate, Slots


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_thirty_failed_tries_a_minute_are_taken_and_no_more() -> None:
    clock = Clock()
    guesses = Guesses(clock=clock)
    for _ in range(30):
        assert guesses.note("192.0.2.1") == 0
        clock.now += 1
    assert guesses.note("192.0.2.1") == 30  # the first one was 30 s ago
    assert guesses.note("192.0.2.2") == 0
    clock.now += 29.5
    assert guesses.note("192.0.2.1") == 1
    clock.now += 1
    assert guesses.note("192.0.2.1") == 0
    assert guesses.note("192.0.2.1") == 1  # only one was forgotten


def test_refused_tries_do_not_keep_the_door_closed() -> None:
    clock = Clock()
    guesses = Guesses(allowed=2, clock=clock)
    guesses.note("a")
    guesses.note("a")
    for _ in range(59):
        clock.now += 1
        assert guesses.note("a") > 0
    clock.now += 1
    assert guesses.note("a") == 0


def test_the_first_refusal_is_told_from_the_rest() -> None:
    clock = Clock()
    guesses = Guesses(allowed=1, clock=clock)
    assert [guesses.just_closed("a"), guesses.just_closed("a"), guesses.just_closed("b")] == [True, False, True]
    clock.now += 60
    assert guesses.just_closed("a")


def test_addresses_of_one_ipv6_network_are_one_guesser() -> None:
    guesses = Guesses(allowed=1, clock=Clock())
    assert guesses.note("2001:db8:0:1::1") == 0
    assert guesses.note("2001:db8:0:1:ffff::2") > 0
    assert guesses.note("fe80::1%eth0") == 0
    assert guesses.note("2001:db8:0:2::1") == 0
    assert guesses.note("::ffff:192.0.2.1") == 0
    assert guesses.note("::ffff:192.0.2.2") == 0
    assert guesses.note("a unix socket") == 0


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    guesses = Guesses(allowed=1, kept=3, clock=Clock())
    for name in "abcd":
        guesses.note(name)
        guesses.just_closed(name)
    assert guesses.note("d") > 0
    assert guesses.note("a") == 0  # forgotten
    assert len(guesses._failed) <= 3
    assert len(guesses._closed) <= 3


def test_a_key_may_use_its_minute_at_once_and_then_has_to_wait() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert [rate.take("key", 120) for _ in range(121)] == [0] * 120 + [1]
    assert rate.take("other", 120) == 0
    clock.now += 0.4
    assert rate.take("key", 120) == 1
    clock.now += 0.1
    assert rate.take("key", 120) == 0
    clock.now += 3600
    assert [rate.take("key", 120) for _ in range(121)] == [0] * 120 + [1]


@pytest.mark.parametrize(("a_minute", "wait"), [(1, 60), (7, 9), (60, 1), (6000, 1)])
def test_the_wait_is_whole_seconds_after_which_there_is_a_token(a_minute: int, wait: int) -> None:
    clock = Clock()
    rate = Rate(clock)
    for _ in range(a_minute):
        assert rate.take("key", a_minute) == 0
    assert rate.take("key", a_minute) == wait
    clock.now += wait
    assert rate.take("key", a_minute) == 0


def test_a_rate_that_was_changed_holds_at_once() -> None:
    rate = Rate(Clock())
    for _ in range(5):
        assert rate.take("key", 5) == 0
    assert rate.take("key", 5) > 0
    fresh = Rate(Clock())
    assert fresh.take("key", 100) == 0
    assert [fresh.take("key", 2) for _ in range(3)] == [0, 0, 30]


def test_slots_are_given_and_taken_back() -> None:
    slots = Slots(2)
    assert [slots.take(), slots.take(), slots.take()] == [True, True, False]
    slots.give_back()
    assert [slots.take(), slots.take()] == [True, False]
