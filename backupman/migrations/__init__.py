"""The history of the tables, for Alembic. A new revision changes HEAD with it; a test compares the two."""

HEAD = "0001"
VERSION_TABLE = "backupman_version"
