"""What a manifest says of a restored database."""

from typing import Any

import pytest

from backupman.manifest import Manifest, TableRows


def rows(name: str, count: int | None, *, exact: bool = True) -> TableRows:
    """A table of so many rows."""
    return TableRows(name=name, rows=count, exact=exact)


def manifest(*tables: TableRows, **more: Any) -> Manifest:
    """What was dumped."""
    return Manifest(provider="sqlite", facts={}, tables=list(tables), **more)


def test_the_same_again_is_no_difference() -> None:
    tables = [rows("a", 0), rows("b", 3), rows("c", None), rows("d", 5, exact=False)]
    assert manifest(*tables).differences([rows("a", 0), rows("b", 3), rows("c", 9), rows("d", 6)]) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "the table orders is missing"),
        ([rows("orders", 2)], "orders has 2 rows, and 1,000 were dumped"),
        ([rows("orders", 1000), rows("more", 1)], "the table more is there, and was not dumped"),
    ],
)
def test_what_is_missing_or_too_much_is_said(found: list[TableRows], said: str) -> None:
    assert manifest(rows("orders", 1000)).differences(found) == [said]


@pytest.mark.parametrize("known", [rows("orders", 1000, exact=False), rows("orders", 1000)])
def test_where_rows_are_not_known_for_sure_only_an_empty_table_is_a_difference(known: TableRows) -> None:
    dumped = manifest(known, same_snapshot=not known.exact)
    assert dumped.differences([rows("orders", 990)]) == []
    assert dumped.differences([rows("orders", 0)]) == ["orders is empty, and about 1,000 rows were dumped"]


def test_without_tables_nothing_is_compared() -> None:
    assert manifest().differences([rows("any", 1)]) == []


def test_each_table_is_compared_with_the_backup_before() -> None:
    before = manifest(rows("orders", 1000), rows("users", 5), rows("big", None), rows("old", 1))
    shown = manifest(rows("orders", 990), rows("users", 5), rows("big", 7), rows("fresh", 3)).compared(before)
    assert [(each.name, each.rows, each.change, each.new) for each in shown.tables] == [
        ("orders", 990, -10, False),
        ("users", 5, 0, False),
        ("big", 7, None, False),
        ("fresh", 3, None, True),
    ]
    assert shown.gone == ["old"]


@pytest.mark.parametrize("before", [None, manifest()])
def test_without_tables_before_nothing_is_new(before: Manifest | None) -> None:
    shown = manifest(rows("orders", 1)).compared(before)
    assert [(each.change, each.new) for each in shown.tables] == [(None, False)]
    assert shown.gone == []


def test_where_no_table_is_known_now_none_is_said_to_be_gone() -> None:
    assert manifest().compared(manifest(rows("orders", 1))).gone == []
