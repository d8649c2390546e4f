"""The lines of each backup: in order, bounded, and gone with the history."""

from datetime import timedelta

from backupman.records import now
from backupman.store import Store
from backupman.store.run_logs import MOST


def test_lines_are_added_behind_those_that_are_there(store: Store) -> None:
    store.run_logs.append("a", "host1", ["one", "two \u00df"])
    store.run_logs.append("a", "host1", ["three"])
    store.run_logs.append("b", "host1", ["other"])
    assert store.run_logs.of("a") == ["one", "two \u00df", "three"]
    assert store.run_logs.of("none") == []


def test_the_newest_lines_are_kept(store: Store) -> None:
    store.run_logs.append("a", "host1", [f"{number} " + "x" * 500 for number in range(MOST)])
    store.run_logs.append("a", "host1", ["newest"])
    kept = store.run_logs.of("a")
    assert len(kept) == MOST
    assert kept[0].startswith("1 ") and kept[-1] == "newest"


def test_old_logs_go_and_those_of_others_stay(store: Store) -> None:
    store.run_logs.append("a", "host1", ["ours"])
    store.run_logs.append("b", "host2", ["theirs"])
    assert store.history.purge("host1", now() - timedelta(days=1), 100) == 0
    assert store.history.purge("host1", now() + timedelta(days=1), 100) == 1
    assert store.run_logs.of("a") == [] and store.run_logs.of("b") == ["theirs"]
