"""The history of the tables, for Alembic. A new revision changes HEAD with it; a test compares the two. There is no
way back: keep a copy of the store's database before an upgrade."""

from typing import Any

HEAD = "0007"
VERSION_TABLE = "backupman_version"
TABLE: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""Options of every table: on MySQL any text, told apart by case and accents as on the other databases."""
