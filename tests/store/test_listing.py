"""Backups are found by their names, and listed in pages."""

from datetime import timedelta

import pytest

from backupman.errors import NotFoundError
from backupman.records import Kind
from backupman.store import Store
from backupman.store.backups import BackupFilter
from tests.store.conftest import START, a_backup, ids


def test_a_backup_is_found_by_its_id_a_unique_beginning_of_it_or_as_the_latest(store: Store) -> None:
    older = store.backups.begin(a_backup(id="aaaa1111-0000-4000-8000-000000000000", created_at=START), [])
    newer = store.backups.begin(
        a_backup(id="aaaa2222-0000-4000-8000-000000000000", created_at=START + timedelta(microseconds=1)), []
    )
    assert store.backups.get(older.id).id == older.id
    assert store.backups.get("aaaa1").id == older.id
    assert store.backups.get("AAAA2").id == newer.id
    assert store.backups.get("latest").id == newer.id


@pytest.mark.parametrize("name", ["aaaa", "a"])
def test_a_beginning_that_fits_several_is_refused(store: Store, name: str) -> None:
    for number in (1, 2):
        store.backups.begin(a_backup(id=f"aaaa{number}111-0000-4000-8000-000000000000"), [])
    with pytest.raises(NotFoundError, match=f"several backups begin with '{name}'; write more of the id") as refused:
        store.backups.get(name)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "%", "_", "a%", "aaaa_111", "a*", "\\", "/", "b", "'", "aaaa1111-x"])
def test_what_names_no_backup_is_refused(store: Store, name: str) -> None:
    store.backups.begin(a_backup(id="aaaa1111-0000-4000-8000-000000000000"), [])
    with pytest.raises(NotFoundError):
        store.backups.get(name)


def test_the_latest_may_be_asked_of_some_sources_alone(store: Store) -> None:
    made = {}
    for number, source in enumerate(("shop", "wiki", "shop", "blog")):
        begun = a_backup(source=source, created_at=START + timedelta(minutes=number))
        made[source] = store.backups.begin(begun, []).id
    for sources, found in {("shop", "wiki"): "shop", ("wiki",): "wiki", ("wiki", "blog", "none"): "blog"}.items():
        assert store.backups.get("latest", sources).id == made[found]
    assert store.backups.get(made["blog"], ["shop"]).id == made["blog"]
    with pytest.raises(NotFoundError, match="no backup of a source of this config on record; `backupman list` shows"):
        store.backups.get("latest", ["none"])


def test_the_latest_of_none_says_how_to_make_one(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no backup on record; make one with `backupman run`, or see"):
        store.backups.get("latest")


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [
        (BackupFilter(), ["d", "c", "b", "a"]),
        (BackupFilter(label="b"), ["b"]),
        (BackupFilter(status="failed"), ["c"]),
        (BackupFilter(job="weekly"), ["d", "b"]),
        (BackupFilter(source="blog"), ["d"]),
        (BackupFilter(database="posts"), ["d"]),
        (BackupFilter(job="weekly", source="shop"), ["b"]),
        (BackupFilter(since=START + timedelta(minutes=2)), ["d", "c"]),
        (BackupFilter(status="nonsense"), []),
    ],
)
def test_the_list_can_be_narrowed_down(store: Store, wanted: BackupFilter, labels: list[str]) -> None:
    for number, (label, fields) in enumerate(
        {
            "a": {},
            "b": {"job": "weekly"},
            "c": {"status": "failed"},
            "d": {"job": "weekly", "source": "blog", "database": "posts"},
        }.items()
    ):
        store.backups.begin(a_backup(label=label, created_at=START + timedelta(minutes=number), **fields), [])
    assert [backup.label for backup in store.backups.list(wanted)] == labels
    assert [backup.label for backup in store.backups.list(wanted, limit=1)] == labels[:1]


def test_pages_follow_each_other_without_gap_or_repetition_even_at_one_time(store: Store) -> None:
    for number in range(23):
        store.backups.begin(a_backup(created_at=START + timedelta(microseconds=number // 8)), [])
    everything = ids(store.backups.list())
    pages: list[str] = []
    after = None
    while page := store.backups.list(BackupFilter(after=after), limit=5):
        pages += ids(page)
        after = (page[-1].created_at, page[-1].id)
    assert pages == everything
    assert len(set(pages)) == 23


def test_the_page_after_a_backup_that_is_gone_begins_where_it_was(store: Store) -> None:
    for number in range(3):
        store.backups.begin(a_backup(label=str(number), created_at=START + timedelta(minutes=number)), [])
    gone = (START + timedelta(minutes=2), "f" * 36)
    assert [backup.label for backup in store.backups.list(BackupFilter(after=gone))] == ["2", "1", "0"]


def test_what_others_reported_is_listed_only_when_asked_for_and_is_never_the_latest(store: Store) -> None:
    own = store.backups.begin(a_backup(label="own", created_at=START), [])
    told = a_backup(
        label="told", kind=Kind.INGESTED, source="web-1", device="web-1", created_at=START + timedelta(hours=1)
    )
    store.backups.begin(told, [])
    assert ids(store.backups.list()) == [own.id]
    assert ids(store.backups.list(BackupFilter(kind=Kind.INGESTED))) == [told.id]
    assert ids(store.backups.list(BackupFilter(kind=None))) == [told.id, own.id]
    assert ids(store.backups.list(BackupFilter(kind=None, device="web-1"))) == [told.id]
    assert store.backups.get("latest").id == own.id
    assert store.backups.get(told.id).id == told.id
