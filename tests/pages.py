"""Reads the documentation: its pages, their fenced blocks, links and headings, and the commands that stand in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent

_FENCE = re.compile(r"^( *)(`{3,}|~{3,}) *([^\n`]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)
_SHELLS = ("sh", "bash", "console", "shell")
_BEFORE_A_COMMAND = ("sudo", "time", "exec", "if", "then", "do", "!", "$", "#")
_PROGRAM = re.compile(r"^(\S*/)?backupman$")
_CRON = re.compile(r"^ *(?:[\d*/,-]+ +){5}(?:root +)?(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: the words behind its fence, its text, and where it stands."""

    page: "Page"
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """The words behind `backupman`, where they stand, and whether as something to type or within a sentence."""

    where: str
    words: tuple[str, ...]
    typed: bool

    def __str__(self) -> str:
        return f"{self.where}: {shlex.join(['backupman', *self.words])}"


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def blocks(self, *infos: str) -> Iterator[Block]:
        """The fenced blocks, only those whose first word behind the fence is one of `infos` if there are any."""
        for match in _FENCE.finditer(self.text):
            indent, _, info, text = match.groups()
            if not infos or (info.split() or [""])[0] in infos:
                inner = "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))
                yield Block(self, self.text.count("\n", 0, match.start()) + 1, info.strip(), inner)

    def links(self) -> Iterator[str]:
        """The targets of all links that stay inside the project."""
        for target in _LINK.findall(_CODE.sub("", self.prose)):
            if not re.match(r"[a-z]+:", target):
                yield target

    def anchors(self) -> set[str]:
        """What links may name behind `#`, made as GitHub makes it."""
        made = (re.sub(r"[^\w\- ]", "", heading.lower()) for _, heading in _HEADING.findall(self.prose))
        return {text.strip().replace(" ", "-") for text in made}

    def section(self, start: str) -> str:
        """The text from the heading that ends with `start` (backticks aside) up to the next of its rank; or nothing."""
        wanted = start.replace("`", "")
        found = [match for match in _HEADING.finditer(self.text) if match[2].replace("`", "").endswith(wanted)]
        if not found:
            return ""
        rank, begin = len(found[0][1]), found[0].end()
        ends = (match.start() for match in _HEADING.finditer(self.text, begin) if len(match[1]) <= rank)
        return self.text[begin : next(ends, len(self.text))]

    def commands(self) -> Iterator[Command]:
        """Every call of `backupman` in shell blocks and lines for cron, and those in the text that name a command."""
        for block in self.blocks(*_SHELLS):
            for number, line in _whole_lines(block.text):
                for words in _calls(line):
                    yield Command(f"{self}:{block.line + number}", words, typed=True)
        for match in _CRON.finditer(self.text):
            for words in _calls(match[1]):
                yield Command(f"{self}:{self.text.count(chr(10), 0, match.start()) + 1}", words, typed=True)
        for code in _CODE.findall(self.prose):
            for words in _calls(code):
                if words:
                    yield Command(str(self), words, typed=False)


def pages() -> list[Page]:
    """Every page of the documentation."""
    return [Page(path) for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))]


def _whole_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a script with those that a backslash continues joined, without its here-documents."""
    begun, whole, until = 0, "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if until:
            until = "" if line.strip() == until else until
            continue
        begun = begun if whole else number
        whole += line
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        if here := re.search(r"<<-?['\"]?(\w+)", whole):
            until = here[1]
        yield begun, whole
        whole = ""


def _calls(line: str) -> Iterator[tuple[str, ...]]:
    """The arguments of each `backupman` that the shell line runs."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # no shell line at all: an apostrophe in a remark, for example
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if word and set(word) <= set("();<>|&"):
            while command and (command[0] in _BEFORE_A_COMMAND or re.match(r"^\w+=", command[0])):
                del command[0]
            if (
                command and command[0] == "docker" and {"exec", "run"} & set(command)
            ):  # in a container: what is behind it
                command = command[max((at for at, name in enumerate(command) if _PROGRAM.match(name)), default=0) :]
            if command and _PROGRAM.match(command[0]):
                yield tuple(command[1:])
            command = []
        else:
            command.append(word)
