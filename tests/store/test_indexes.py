"""What is asked for again and again is found by an index, without reading or sorting every backup."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import insert

from backupman.records import Backup, Kind
from backupman.store import Store
from backupman.store.backups import BackupFilter
from backupman.store.verifiable import Named
from tests.store.conftest import START, a_backup, ids, server_address, sqlite_address, statements

COUNT = 5_000


def id_of(n: int) -> str:
    """The id of the `n`th backup."""
    return f"{n:08}-0000-4000-8000-000000000000"


MIDDLE = BackupFilter(after=(START + timedelta(seconds=COUNT // 2), id_of(COUNT // 2)))
SPOOLED = COUNT // 2


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mariadb"])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with backups of ten sources, one of them spooled; servers know how its values are spread.

    Its tests only ask, and share it.
    """
    if request.param == "sqlite":
        address = sqlite_address(tmp_path_factory.mktemp("full") / "records.db")
    else:
        address = server_address(request, request.param, request.getfixturevalue(request.param).create_database())
    store = Store.open(address)
    rows = [a_row(n) for n in range(COUNT)]
    with store._engine.begin() as connection:
        connection.execute(insert(Backup), rows)
        if connection.dialect.name != "sqlite":
            connection.exec_driver_sql(
                "ANALYZE TABLE backupman_backups" if connection.dialect.name == "mysql" else "ANALYZE"
            )
    yield store
    store.close()


def a_row(n: int) -> dict[str, Any]:
    """The `n`th backup."""
    spool = f"/spool/{n}" if n == SPOOLED else None
    own = {"source": f"source {n % 10}", "label": f"source {n % 10}", "job": f"job {n % 5}"}
    return a_backup(
        id=id_of(n),
        status="finished",
        created_at=START + timedelta(seconds=n),
        spool_path=spool,
        dump_path=spool,
        **own,
    ).model_dump()


def plan_of(store: Store, ask: Callable[[], object]) -> str:
    """How the database finds the backups that are asked for first, in its own words."""
    with statements(store) as seen:
        ask()
    statement, parameters = next((text, values) for text, values in seen if "FROM backupman_backups" in text)
    with store._engine.connect() as connection:
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        return str(connection.exec_driver_sql(explain + statement, parameters).all())


def reads_all(plan: str) -> bool:
    """Whether every record is read, or all that are found are sorted."""
    return any(
        word in plan for word in ("SCAN backupman_backups'", "Seq Scan", "'ALL'", "filesort", "'Sort", "FOR ORDER")
    )


@pytest.mark.parametrize("wanted", [BackupFilter(), MIDDLE, BackupFilter(kind=None)], ids=["first", "deep", "all"])
def test_a_page_reads_no_more_than_it_shows(full: Store, wanted: BackupFilter) -> None:
    plan = plan_of(full, lambda: full.backups.list(wanted, limit=50))
    assert "ix_backupman_backups_kind" in plan or "ix_backupman_backups_created_at" in plan
    assert not reads_all(plan)
    below = COUNT // 2 if wanted.after else COUNT
    assert ids(full.backups.list(wanted, limit=50)) == [id_of(n) for n in range(below - 1, below - 51, -1)]


def test_a_backup_is_found_by_a_beginning_of_its_id_without_reading_all_ids(full: Store) -> None:
    assert full.backups.get("00001234").id == id_of(1234)
    assert not reads_all(plan_of(full, lambda: full.backups.get("00001234")))


def test_the_few_spooled_backups_are_found_by_their_own_index(full: Store) -> None:
    assert ids(full.backups.spooled("host1")) == [id_of(SPOOLED)]
    assert "ix_backupman_backups_spooled" in plan_of(full, lambda: full.backups.spooled("host1"))
    assert "ix_backupman_backups_spooled" in plan_of(full, lambda: full.backups.untidied("host1"))


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"status": "pending"}, "status"),
        ({"label": "source 3"}, "label"),
        ({"job": "job 3"}, "job"),
        ({"source": "source 3"}, "source"),
        ({"database": "nope"}, "database"),
        ({"source": "source 3", "database": "shop"}, "of"),
        ({"job": "job 3", "source": "source 3"}, "by"),
        ({"status": "failed", "source": "source 3"}, "source"),
        ({"kind": Kind.INGESTED}, "kind"),
        ({"kind": Kind.INGESTED, "device": "web-1"}, "source"),
        ({"job": "job 3", "since": START}, "job"),
    ],
)
def test_sqlite_follows_the_index_of_what_is_searched_also_before_it_has_any_figures(
    sqlite_store: Store, wanted: dict[str, Any], index: str
) -> None:
    plan = plan_of(sqlite_store, lambda: sqlite_store.backups.list(BackupFilter(**wanted), limit=50))
    assert f"USING INDEX ix_backupman_backups_{index} " in plan


def test_the_newest_of_each_database_is_found_without_reading_all(full: Store) -> None:
    with statements(full) as seen:
        named = Named([], ["disk"])
        list(full.verifiable.sample("host1", named, 1, Random(7)))  # noqa: S311 - no secret
    asked = [(text, parameters) for text, parameters in seen if "min(" in text]
    assert len(asked) > 10
    with full._engine.connect() as connection:
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        for text, parameters in asked:
            assert not reads_all(str(connection.exec_driver_sql(explain + text, parameters).all()))
    assert not any("GROUP BY" in text or "DISTINCT" in text for text, _ in seen)
