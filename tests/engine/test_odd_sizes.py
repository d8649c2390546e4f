"""Sizes far from the usual: told once, and what people read of that and of other incidents."""

from collections.abc import Callable

import pytest

from backupman.notifiers import Message
from backupman.notifiers._report import render
from backupman.records import new_id, now
from backupman.store.standing import Of, Standing
from tests.engine._virtual import INSTANCE, NIGHTLY, World, last

Make = Callable[..., World]


SIZED = {"deadlines": {"size_window": 10, "size_drop": 0.5, "size_growth": 3}}


def sized(world: World, *sizes: int) -> None:
    """Good backups of these sizes, one a day."""
    for size in sizes:
        world.sizes["app"] = size
        world.clock.forward(days=1)
        world.make("nightly", "App")
        world.deadlines.check()


def test_a_size_far_from_the_median_is_told_once_and_when_it_is_over(world: Make) -> None:
    there = world("2026-03-02 12:00", more=SIZED)
    there.start()
    sized(there, 1000, 1100, 900, 1000, 1000, 501)
    assert there.told() == []
    sized(there, 499)
    ((kind, payload),) = there.alarms()
    assert (kind, payload["Size"], payload["UsualSize"], payload["Database"]) == ("size_anomaly", 499, 1000, "app")
    assert payload["Reason"] == ("odd size of a dump: App has 499 bytes, the median of the 6 before it is 1000 bytes")
    sized(there, 1000)
    assert there.told() == ["size_anomaly", "backup_recovered"]
    assert last(there)["Reason"] == "App: the size is as usual again"
    sized(there, 3000)
    assert len(there.told()) == 2
    sized(there, 3001)
    assert there.told()[2:] == ["size_anomaly"]


def test_the_first_few_sizes_are_never_odd(world: Make) -> None:
    there = world("2026-03-02 12:00", more=SIZED)
    there.start()
    sized(there, 10, 100_000, 1, 10**9, 5)
    assert there.told() == []


def test_a_lasting_change_of_size_becomes_the_usual_one(world: Make) -> None:
    there = world("2026-03-02 12:00", more=SIZED)
    there.start()
    sized(there, *[1000] * 10, *[10] * 20)
    kinds = there.told()
    assert kinds[0] == "size_anomaly"
    assert kinds[-1] == "backup_recovered"
    assert set(kinds[1:-1]) == {"size_anomaly again"}
    assert len(kinds) < 9


def test_failed_backups_have_no_size_to_compare(world: Make) -> None:
    there = world("2026-03-02 12:00", more=SIZED)
    there.start()
    sized(there, *[1000] * 6)
    there.sizes["app"] = 1
    there.make("nightly", "App", failed=True)
    there.deadlines.check()
    assert there.told() == []


def test_the_odd_sizes_of_many_databases_are_one_event(world: Make) -> None:
    there = world("2026-03-02 12:00", "Main", more=SIZED, **NIGHTLY)
    names = there.databases["Main"] = [f"db{number:02}" for number in range(13)]
    there.start()
    there.live("2026-03-10 12:00")
    there.sizes |= dict.fromkeys(names, 1)
    there.live("2026-03-11 02:31")
    assert there.told() == ["size_anomaly"]
    assert (last(there)["Databases"], last(there)["Size"]) == (names, None)
    assert last(there)["Reason"].endswith("; and 3 more")


def test_people_can_read_it(world: Make) -> None:
    """As a mail: what it is in the subject, the sentence, and nothing that is not known."""
    there = world("2026-03-02 12:00", more=SIZED, **NIGHTLY)
    there.failing.add("App")
    there.start()
    there.live("2026-03-03 12:00")
    there.failing.clear()
    there.live("2026-03-04 12:00")
    subjects = []
    for kind, payload in there.alarms():
        report = render(Message(new_id(), kind, now(), payload), None, "mail/ops")
        subjects.append(report.subject)
        assert " ".join(report.text.split()).startswith(f"{kind.upper().replace('_', ' ')}: App {payload['Reason']} ")
        assert report.text.count(payload["Reason"]) == 1
        assert "None" not in report.text + report.html
        assert "backup late" in report.subject or "backup recovered" in report.subject
    assert subjects == [f"[backupman] backup {word}: App ({INSTANCE})" for word in ("late", "recovered")]


def test_a_backup_whose_event_came_to_be_behind_a_later_one_is_looked_at(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server gives numbers out before the transactions end."""
    there = world("2026-03-02 12:00", "App", "Other", **NIGHTLY)
    there.start()
    there.live("2026-03-20 12:00")
    there.sizes["app"] = 1
    settled_after = Standing.settled_after

    def but_one(self: Standing, seq: int, instance: str) -> list[tuple[int, Of]]:
        return [(number, of) for number, of in settled_after(self, seq, instance) if of.source != "App"]

    monkeypatch.setattr(Standing, "settled_after", but_one)
    there.live("2026-03-21 03:00")
    assert there.told() == []
    monkeypatch.undo()
    there.deadlines.check()
    assert there.told() == ["size_anomaly"]
    there.deadlines.check()
    assert there.told() == ["size_anomaly"]
