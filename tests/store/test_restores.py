"""Restores are kept from before their first statement on, and are settled once, each time with their event."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from backupman.errors import NotFoundError
from backupman.records import Event, Restore, Status
from backupman.store import Store
from tests.store.conftest import START


def a_restore(number: int = 0, **fields: Any) -> Restore:
    """A restore that has begun, an hour after the one before."""
    known: dict[str, Any] = {
        "id": f"{number}abc0000-0000-4000-8000-000000000000",
        "backup_id": "b1",
        "instance": "host1",
        "label": "shop",
        "source": "shop",
        "database": "shop",
        "target": f"shop_{number} on shop",
        "created_at": START + timedelta(hours=number),
    }
    return Restore(**(known | fields))


def told(restore: Restore) -> tuple[Event, Sequence[str]]:
    """Its event, owed to one endpoint."""
    event = Event(kind=f"restore_{restore.status}", instance="host1", job="j", payload={"Error": restore.error})
    return event, ["mail/ops"]


def fail(restore: Restore) -> None:
    restore.status, restore.error = Status.FAILED, "it broke"


def test_each_step_is_owed_with_its_record(store: Store) -> None:
    restore = store.restores.begin(a_restore(), told)
    settled = store.restores.settle(restore.id, fail, told)
    assert (settled.status, settled.error) == ("failed", "it broke")
    events = [(event.kind, event.payload["Error"]) for event in reversed(store.outbox.events(limit=None))]
    assert events == [("restore_pending", None), ("restore_failed", "it broke")]
    assert store.outbox.owed("host1") == 2


def test_what_is_settled_stays_so_and_is_told_once(store: Store) -> None:
    restore = store.restores.begin(a_restore(), told)
    store.restores.settle(restore.id, fail, told)
    again = store.restores.settle(restore.id, lambda found: setattr(found, "status", Status.FINISHED), told)
    assert again.status == "failed"
    assert len(store.outbox.events(limit=None)) == 2


def test_they_are_found_by_a_beginning_and_listed_newest_first(store: Store) -> None:
    for number in range(3):
        store.restores.begin(a_restore(number, backup_id="b2" if number else "b1"), told)
    store.restores.begin(a_restore(1, id="1abd0000-0000-4000-8000-000000000000", instance="host2"), told)
    assert store.restores.get("2ab").target == "shop_2 on shop"
    assert [restore.target for restore in store.restores.list("b2", limit=1)] == ["shop_2 on shop"]
    assert len(store.restores.list()) == 4
    for name, sentence in {"9": "no restore '9'", "1ab": "several restores begin with '1ab'", "": "several"}.items():
        with pytest.raises(NotFoundError, match=sentence):
            store.restores.get(name)
    with pytest.raises(NotFoundError, match="no restore 'gone'"):
        store.restores.settle("gone", fail, told)


def test_an_instance_finds_its_own_that_are_not_settled(store: Store) -> None:
    for number in range(3):
        store.restores.begin(a_restore(number, instance=f"host{number % 2}"), told)
    store.restores.settle(a_restore(0).id, fail, told)
    assert [restore.target for restore in store.restores.pending("host0")] == ["shop_2 on shop"]
    assert [restore.target for restore in store.restores.pending("host1")] == ["shop_1 on shop"]
