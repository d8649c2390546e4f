"""The history of the tables, for Alembic. A new revision changes HEAD with it; a test compares the two. There is no
way back: keep a copy of the store's database before an upgrade."""

HEAD = "0002"
VERSION_TABLE = "backupman_version"
