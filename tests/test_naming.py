"""Names of objects are safe on every drive, and never two alike."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupman.naming import object_name, sidecar_name, slug

BACKUP_ID = "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("shop", "shop"),
        ("MySQL 1", "mysql-1"),
        ("a\t b", "a-b"),
        ("db_1.x-y", "db_1.x-y"),
        ("_globals", "_globals"),
        ("Café", "caf-73473d"),
        ("a/b", "a-b-c14cdd"),
        ("a-b/", "a-b-f606fc"),
        ("../..", "0cfd1c"),
        (".", "cdb4ee"),
        (".hidden", "hidden-169241"),
        ("", "e3b0c4"),
        ("数据库", "263200"),
        ("x" * 200, "x" * 80 + "-aa20c2"),
    ],
)
def test_a_text_becomes_a_folder_name(text: str, name: str) -> None:
    assert slug(text) == name


@given(st.text(st.characters(), max_size=300))
def test_a_folder_name_is_safe_everywhere(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]([a-z0-9._-]{0,85}[a-z0-9_])?", slug(text))


texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["a b", "A B", "a-b", "a  b", "a/b", "a.b"]
)


@given(texts, texts)
def test_texts_share_a_name_only_if_they_differ_in_case_and_spaces(one: str, other: str) -> None:
    if slug(one) == slug(other):
        assert re.sub(r"\s+", "-", one.lower()) == re.sub(r"\s+", "-", other.lower())


def test_an_object_is_named_by_source_database_time_and_id() -> None:
    time = datetime(2025, 7, 2, 12, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert object_name("MySQL 1", "Shop", BACKUP_ID, time, ".sql.gz") == (
        "mysql-1/shop/backup-20250702100005-b4c3f1a0.sql.gz"
    )
    assert object_name("shop", None, BACKUP_ID, time, ".sqlite") == "shop/backup-20250702100005-b4c3f1a0.sqlite"


def test_two_backups_of_one_second_have_different_names() -> None:
    time = datetime(2025, 7, 2, 10, 0, 5, tzinfo=UTC)
    assert object_name("a", None, "1" * 36, time, ".sql") != object_name("a", None, "2" * 36, time, ".sql")


def test_the_manifest_stands_beside_its_object() -> None:
    assert sidecar_name("a/b.sql.gz") == "a/b.sql.gz.json"
