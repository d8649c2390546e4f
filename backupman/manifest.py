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


class Manifest(View):
    """What is known of a dump's content."""

    provider: str = Field(description="The kind of source.")
    facts: dict[str, str] = Field(description="What made the dump: `tool`, `tool_version`, `server_version`, …")
    extensions: dict[str, str] = Field(default_factory=dict, description="PostgreSQL's extensions and their versions.")
    restorable_by: str | None = Field(default=None, description="The oldest version of the client that can read it.")
    same_snapshot: bool = Field(
        default=True, description="Whether rows were counted in the dump's own snapshot; else shortly before it."
    )
    tables: list[TableRows] = Field(default_factory=list)

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
