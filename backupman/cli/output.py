"""How things look: JSON documents, tables, marks, times and sizes. Fits 80 columns; obeys NO_COLOR and COLUMNS."""

import json
import os
import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

from backupman.text import here, one_line, printable, size, span

__all__ = ["one_line", "printable", "size", "span"]

MARKS = {
    "finished": ("✓", "green"),
    "delivered": ("✓", "green"),
    "UP": ("✓", "green"),
    "failed": ("✗", "red"),
    "DOWN": ("✗", "red"),
    "pending": ("…", "yellow"),
    "owed": ("…", "yellow"),
    "busy": ("…", "yellow"),
    "dropped": ("-", "dim"),
    "warning": ("!", "yellow"),
}
_WIDE = 240
"""Columns where nobody sees an edge: in a pipe nothing is cut and hardly anything is wrapped."""


_READABLE = 16
"""Columns that a text is wrapped to at least."""


def print_json(document: object) -> None:
    """The one document of `--json`."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def console(*, stderr: bool = False) -> Console:
    """Standard output or error, as wide as its terminal. FORCE_COLOR colours a pipe and draws nothing there."""
    stream = sys.stderr if stderr else sys.stdout
    is_terminal = stream.isatty()
    width = None if is_terminal or os.environ.get("COLUMNS") else _WIDE
    moves = None if is_terminal else False
    return _Harmless(stderr=stderr, width=width, force_interactive=moves, highlight=False, markup=False, emoji=False)


class _Harmless(Console):
    """Rich's lets through what drives a terminal, and a database, or a file on a drive, may have such a name."""

    def render_str(self, text: str, **how: Any) -> Text:
        """A text as it is shown."""
        return super().render_str(printable(text), **how)


def mark(word: str, *, text: str | None = None) -> Text:
    """A word with its sign and colour: `✓ finished`; colour is never the only difference."""
    sign, colour = MARKS[word]
    return Text(f"{sign} {word if text is None else text}", style=colour)


class _Fitting(Table):
    """A table where there is room for it; on a narrower terminal each row is a block of lines, and nothing is lost."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if sum(map(_least, self.columns)) + 2 * len(self.columns) <= options.max_width + 2:
            yield from super().__rich_console__(console, options)
            return
        for row in zip(*(column.cells for column in self.columns), strict=True):
            first, *others = (cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row)
            if first.plain:
                yield first
            pairs = [
                (str(column.header).capitalize(), cell) for column, cell in zip(self.columns[1:], others, strict=True)
            ]
            there = [(heading, cell) for heading, cell in pairs if cell.plain]
            wide = max((len(heading) for heading, _ in there), default=0) + 2
            for heading, cell in there:
                lines = cell.wrap(console, max(options.max_width - wide - 2, 10))
                for number, line in enumerate(lines):
                    line.rstrip()
                    yield Text(f"  {heading if number == 0 else '':{wide}}", style="dim").append_text(line)


def _least(column: Column) -> int:
    """The columns that it takes: all where it must not be wrapped, else so many that it can still be read."""
    longest = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
    return longest if column.no_wrap else min(longest, _READABLE)


def table(*headings: str) -> Table:
    """A table without lines; the first column is never cut."""
    found = _Fitting(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        found.add_column(heading, no_wrap=index == 0, overflow="fold")
    return found


def paragraph(text: str, indent: int, out: Console) -> str:
    """A text in lines that fit the terminal, each indented; where there is no terminal, only its own lines."""
    margin = " " * indent
    lines = printable(text).splitlines()
    if out.width < _WIDE:
        # A path or a command stays whole, so that it can be copied.
        wrapper = textwrap.TextWrapper(max(out.width - indent, 20), break_long_words=False, break_on_hyphens=False)
        lines = [part for line in lines for part in wrapper.wrap(line) or [""]]
    return "\n".join(margin + line for line in lines)


def print_marked(word: str, text: str, out: Console, indent: int = 0) -> None:
    """A text of one or more lines behind its sign, wrapped beside it."""
    sign, colour = MARKS[word]
    wrapped = paragraph(text, indent + 2, out).lstrip()
    out.print(Text(" " * indent + f"{sign} ", style=colour).append(wrapped, style="default"), soft_wrap=True)


def unlabelled(sentence: str, label: str) -> str:
    """An error without the label that it begins with, for where the label stands already."""
    return sentence.removeprefix(f"{label}: ")


def print_rows(pairs: Sequence[tuple[str, str | None]], out: Console, indent: int = 2) -> None:
    """Names and values below each other, without the pairs that have no value."""
    there = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in there), default=0) + 2
    for name, value in there:
        line = Text(" " * indent).append(f"{name:{width}}", style="dim")
        out.print(line.append(paragraph(value, indent + width, out).lstrip()), soft_wrap=True)


def local(time: datetime | None, *, seconds: bool = False) -> str:
    """The time where the reader is, with its zone: `2026-11-21 01:53 CET`."""
    return here(time).strftime("%Y-%m-%d %H:%M:%S %Z" if seconds else "%Y-%m-%d %H:%M %Z") if time else ""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 backup`, `2,000 backups`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
