"""The sentences that the pages quote as the program's own are said by it."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.pages import ROOT, pages

_TABLE = re.compile(r"^\| says \|.*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)
_GAP = "…"


def quoted() -> Iterator[tuple[str, str]]:
    """Page and sentence of every row in a table that begins with the column `says`."""
    for page in pages():
        for table in _TABLE.findall(page.text):
            for row in table.splitlines():
                for sentence in re.split(r"(?<!\\)\|", row)[1].replace("`", "").split(" / "):
                    yield str(page), sentence.strip()


QUOTED = list(dict.fromkeys(quoted()))
EXPLAINED = [sentence for page, sentence in QUOTED if page == "docs/troubleshooting.md"]


@cache
def said() -> tuple[str, ...]:
    """Every text of the code, with a gap where it is filled in."""
    texts = []
    for path in (ROOT / "backupman").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else _GAP for part in node.values]
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"\{\w*\}", _GAP, node.value))
    return tuple(texts)


def pattern(sentence: str) -> re.Pattern[str]:
    """What a text has to hold: the words between the gaps, in this order."""
    pieces = [re.escape(piece.strip(" ,.")) for piece in sentence.split(_GAP) if piece.strip(" ,.")]
    assert pieces, "a sentence of gaps alone says nothing"
    return re.compile(".*".join(pieces), re.DOTALL)


@pytest.mark.parametrize(("page", "sentence"), QUOTED)
def test_the_program_says_so(page: str, sentence: str) -> None:
    wanted = pattern(sentence)
    assert [text for text in said() if wanted.search(text)], f"{page}: nothing says “{sentence}”"


def test_sentences_were_read() -> None:
    assert len(EXPLAINED) > 50
    assert len(QUOTED) > 130
