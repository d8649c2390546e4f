"""What is said of records and objects, whatever there is of both and in whatever order a drive lists it."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupman.engine.comparing import Comparison, Finding, Found, Known, Object
from backupman.records import Status
from tests.test_sidecar import KNOWN

MINE, OTHERS = "db1", "db2"
_STATES = (
    "fine",
    "missing",
    "altered",
    "bare",
    "pending",
    "failed",
    "orphaned",
    "others",
    "unclaimed",
    "lonely",
    "broken",
)


def compare(
    instances: Collection[str], records: Sequence[Known], objects: Iterable[Object], elsewhere: Collection[str] = ()
) -> Iterator[Found]:
    """All findings on a drive, for a whole listing."""
    comparison = Comparison(instances, records, elsewhere)
    for each in objects:
        yield from comparison.add(each)
    yield from comparison.rest()


def name_of(number: int) -> str:
    return f"shop/backup-20261121010000-{number:08x}.sql.gz"


def sidecar(number: int, instance: str = MINE) -> str:
    known = KNOWN | {"Instance": instance, "Object": name_of(number), "Id": f"{number:08x}-0000-4000-8000-000000000000"}
    return json.dumps(known | {"StoredSize": 10, "Sha256": "ab" * 32})


def known(number: int, status: str = Status.FINISHED, **more: Any) -> Known:
    name = name_of(number)
    if status != Status.FINISHED:
        return Known(str(number), str(number), name, status, **more)
    return Known(str(number), str(number), name, status, f"r/{name}", f"r/{name}.json", 10, {"md5": "a"}, **more)


def stored(number: int, size: int = 10, **more: Any) -> Object:
    return Object(f"r/{name_of(number)}", name_of(number), size, **more)


def beside(number: int, text: str | None = None) -> Object:
    return Object(f"r/{name_of(number)}.json", f"{name_of(number)}.json", 5, sidecar=text)


def there(state: str, number: int) -> tuple[list[Known], list[Object], Finding | None]:
    """A backup in such a state: what is on record, what the drive holds, and what is to be said of it."""
    whole = [stored(number), beside(number)]
    return {
        "fine": ([known(number)], whole, None),
        "missing": ([known(number)], [beside(number)], Finding.MISSING),
        "altered": ([known(number)], [stored(number, 9), beside(number)], Finding.ALTERED),
        "bare": ([known(number)], [stored(number)], Finding.BARE),
        "pending": ([known(number, Status.PENDING)], [stored(number), beside(number, sidecar(number))], None),
        "failed": ([known(number, Status.FAILED)], [stored(number)], Finding.LEFTOVER),
        "orphaned": ([], [stored(number), beside(number, sidecar(number))], Finding.ORPHANED),
        "others": ([], [stored(number), beside(number, sidecar(number, OTHERS))], Finding.FOREIGN),
        "unclaimed": ([], [stored(number)], Finding.UNCLAIMED),
        "lonely": ([], [beside(number, sidecar(number))], Finding.UNCLAIMED),
        "broken": ([], [stored(number), beside(number, "{")], Finding.UNCLAIMED),
    }[state]


@given(states=st.lists(st.sampled_from(_STATES), max_size=30), random=st.randoms(use_true_random=False))
def test_every_backup_gets_its_one_finding_in_whatever_order_the_drive_lists(states: list[str], random: Any) -> None:
    cases = [there(state, number) for number, state in enumerate(states)]
    records = [record for some, _, _ in cases for record in some]
    objects = [each for _, some, _ in cases for each in some] + [
        Object("z", "photos/1.jpg"),
        Object("y", "shop/RESTORE.txt"),
    ]
    random.shuffle(objects)
    said = list(compare({MINE}, records, objects))
    expected = Counter(kind for _, _, kind in cases if kind) + Counter([Finding.FOREIGN])
    assert Counter(found.kind for found in said) == expected
    by_name = {found.name.removesuffix(".json"): found.kind for found in said}
    assert all(by_name.get(name_of(number)) == kind for number, (_, _, kind) in enumerate(cases))


def test_another_instance_is_ours_only_when_it_is_named() -> None:
    objects = [stored(1), beside(1, sidecar(1, OTHERS))]
    assert [found.kind for found in compare({MINE}, [], objects)] == [Finding.FOREIGN]
    [found] = compare({MINE, OTHERS}, [], objects)
    assert (found.kind, found.sidecar_ref) == (Finding.ORPHANED, f"r/{name_of(1)}.json")


@pytest.mark.parametrize(
    ("record", "held", "why"),
    [
        (known(1), stored(1, 9), "it has 9 bytes, and 10 were stored"),
        (known(1), stored(1, checksums={"md5": "b"}), "its md5 is not the one that was recorded"),
        (known(1, verify_error="its SHA-256 differs"), stored(1), "the last check of it: its SHA-256 differs"),
    ],
)
def test_how_a_copy_is_altered_is_said(record: Known, held: Object, why: str) -> None:
    [found] = compare({MINE}, [record], [held, beside(1)])
    assert (found.kind, found.reason) == (Finding.ALTERED, why)


def test_a_checksum_that_was_not_recorded_says_nothing() -> None:
    assert list(compare({MINE}, [known(1)], [stored(1, checksums={"md5": "a", "crc": "x"}), beside(1)])) == []


@pytest.mark.parametrize(
    ("record", "elsewhere", "kinds"),
    [
        (known(1, Status.FAILED), False, []),
        (known(1, Status.FAILED, session="s"), False, [Finding.LEFTOVER]),
        (known(1, Status.FAILED, session="s"), True, [Finding.LEFTOVER]),
        (known(1, Status.FAILED), True, [Finding.ABSENT]),
        (known(1, Status.FAILED, waits=True), True, []),
        (known(1, Status.FAILED, session="s", waits=True), False, []),
        (known(1, Status.PENDING, session="s"), False, []),
    ],
)
def test_of_an_upload_that_failed_only_what_can_be_done_is_said(
    record: Known, elsewhere: bool, kinds: list[Finding]
) -> None:
    found = compare({MINE}, [record], [], elsewhere={record.id} if elsewhere else ())
    assert [each.kind for each in found] == kinds


def test_what_waits_for_its_retry_is_left_alone() -> None:
    assert list(compare({MINE}, [known(1, Status.FAILED, waits=True)], [stored(1)])) == []


def test_a_second_object_of_a_known_name_changes_nothing() -> None:
    twin = Object("another-id", name_of(1), 10)
    assert list(compare({MINE}, [known(1)], [twin, stored(1), beside(1)])) == []
    said: list[Found] = list(compare({MINE}, [known(1)], [twin, beside(1)]))
    assert [found.kind for found in said] == [Finding.MISSING]


def test_where_only_refs_count_names_do_not_matter() -> None:
    held = [Object(each.ref, size=each.size) for each in (stored(1), beside(1))]
    assert list(compare({MINE}, [known(1)], held)) == []
    assert [found.kind for found in compare({MINE}, [known(1), known(2)], held)] == [Finding.MISSING]


def test_what_is_not_ours_takes_no_memory() -> None:
    """A hundred thousand objects of somebody else's are passed on one by one."""
    pulled = 0

    def bucket() -> Any:
        nonlocal pulled
        for number in range(100_000):
            pulled += 1
            yield Object(str(number), f"photos/{number}.jpg")

    said = compare({MINE}, [known(1)], bucket())
    assert next(said).kind == Finding.FOREIGN
    assert pulled == 1
    assert sum(found.kind == Finding.FOREIGN for found in said) == 99_999


def test_why_a_sidecar_cannot_be_read_is_said_of_its_object() -> None:
    closed = Object(f"r/{name_of(1)}.json", f"{name_of(1)}.json", 10, unreadable="disk: it is in an archive class")
    [found] = compare({MINE}, [], [stored(1), closed])
    assert (found.kind, found.name) == (Finding.UNCLAIMED, name_of(1))
    assert found.reason == "its sidecar cannot be read: disk: it is in an archive class"
