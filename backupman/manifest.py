"""The manifest: what is known of a dump's content, taken in the moment that the dump shows."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from backupman.events import View

Counting = Literal["exact", "estimate", "none"]


class TableRows(View):
    """A table and its rows."""

    name: str = Field(description="As its engine writes it: `public.orders`, `orders`.")
    rows: int | None = Field(description="None: they were not counted.")
    exact: bool = Field(default=True, description="Whether they were counted, not estimated by the server.")


class TableShown(TableRows):
    """A table, its rows, and what became of them since the backup before."""

    change: int | None = Field(default=None, description="More or fewer rows than in the backup before.")
    new: bool = Field(default=False, description="Whether the backup before did not have the table.")


class Manifest(View):
    """What is known of a dump's content."""

    provider: str = Field(description="The kind of source.")
    facts: dict[str, str] = Field(description="What made the dump: `tool`, `tool_version`, `server_version`, …")
    extensions: dict[str, str] = Field(default_factory=dict, description="PostgreSQL's extensions and their versions.")
    restorable_by: str | None = Field(default=None, description="The oldest version of the client that can read it.")
    same_snapshot: bool = Field(
        default=True, description="Whether rows were counted in the dump's own snapshot; else shortly before it."
    )
    tables: list[TableRows] = Field(default_factory=list, description="Every table of it.")

    def differences(self, found: Sequence[TableRows]) -> list[str]:
        """What a restored database lacks or has too much, each in a sentence; none when all is as it was.

        Rows are compared where they were counted exactly in the dump's own snapshot; of the others only whether the
        table is there, and whether a table that had rows is empty now.
        """
        there = {table.name: table for table in found}
        said = []
        for table in self.tables:
            now = there.pop(table.name, None)
            if now is None:
                said.append(f"the table {table.name} is missing")
            elif table.rows is None or now.rows is None or table.rows == now.rows:
                continue
            elif table.exact and self.same_snapshot:
                said.append(f"{table.name} has {now.rows:,} rows, and {table.rows:,} were dumped")
            elif table.rows and not now.rows:
                said.append(f"{table.name} is empty, and about {table.rows:,} rows were dumped")
        said += [f"the table {name} is there, and was not dumped" for name in there if self.tables]
        return said

    def compared(self, before: "Manifest | None") -> "ManifestShown":
        """The same with what became of each table since the backup before, where that is known."""
        earlier = {table.name: table for table in before.tables} if before else {}
        tables = []
        for table in self.tables:
            known = earlier.pop(table.name, None)
            counted = known is not None and known.rows is not None and table.rows is not None
            change = table.rows - known.rows if counted else None  # type: ignore[union-attr, operator]  # both counted
            shown = {"change": change, "new": bool(before and before.tables and known is None)}
            tables.append(TableShown(**table.model_dump(), **shown))
        return ManifestShown(**dict(self) | {"tables": tables, "gone": list(earlier) if self.tables else []})


class ManifestShown(Manifest):
    """What is known of a dump's content, beside that of the backup before."""

    tables: list[TableShown] = Field(  # type: ignore[assignment]
        default_factory=list, description="Every table of it."
    )
    gone: list[str] = Field(default_factory=list, description="Tables that the backup before had, and this one not.")
