"""The column types of the records: aware UTC times, and text and JSON from anywhere, on every database alike."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Dialect, Text, TypeDecorator


class Utc(TypeDecorator[datetime]):
    """An aware UTC time; databases without zones keep it as UTC, with microseconds everywhere."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects import mysql  # here: it costs every command a tenth of its start

            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time in the store has a zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


def storable(value: Any) -> Any:
    """A text, or a JSON value of texts, that every database and UTF-8 can hold: tools may print anything."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value


class LongText(TypeDecorator[str]):
    """Text of any length, from anywhere."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects import mysql

            return mysql.LONGTEXT()
        return self.impl

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(storable(value))


class Document(TypeDecorator[Any]):
    """A JSON value whose texts come from anywhere."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return storable(value)


def text_column() -> Column[str | None]:
    """A column for text that may be missing."""
    return Column(LongText, nullable=True)


def document_column() -> Column[Any]:
    """A column for a JSON value."""
    return Column(Document, nullable=False)
