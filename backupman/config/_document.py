"""A YAML document with the line of every value: as it was written, and with its `${…}` references filled in.

Plain scalars stay the text that the user wrote (only `null` is resolved), so that a password `012345` is never an
octal number; pydantic turns text into numbers and booleans where a field asks for them. What a message says of a value
is where it stands, never what it is: it may be a secret.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from backupman.config._references import fill
from backupman.errors import ConfigError

Location = tuple[str | int, ...]

_MOST_VALUES = 100_000
_COMMANDS = frozenset({"hooks", "on_error"})
_SHORTEST_SECRET = 4
_UNPRINTABLE = re.compile("[\0\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_TAG + name for name in ("str", "null", "bool", "int", "float", "timestamp"))
_TAGGED = "has a YAML tag; a value that begins with ! needs quotes"
_QUOTES = "a value that begins with a special character needs quotes"
_ADVICE = {
    "mapping values are not allowed": "indent the line as the ones around it, put a value that holds a colon and a "
    "space into quotes, and a space behind each key's colon",
    "could not find expected ':'": "line {} needs a colon and a space behind its key",
    "expected <block end>": "indent the line as the ones around it, and put nothing behind a value in quotes",
    "sequence entries are not allowed": "a list begins in the line below its key",
    "a single document": "a config is one: remove the line ---",
    "unexpected end of stream": "a quote that opens in line {} is not closed",
    "unknown escape character": "write \\\\ for a backslash in double quotes, or use single quotes",
    "parsing a flow": "close the bracket that opens in line {}; " + _QUOTES,
}
"""What to do about a mistake, by a part of what YAML says of it; {} is the line in which it begins."""
_COLLECTION_TAGS = frozenset(_TAG + name for name in ("map", "seq"))


@dataclass(frozen=True)
class Problem:
    """Something wrong at one place of a config."""

    location: Location
    sentence: str

    @property
    def path(self) -> str:
        """For example `drives[1].bukcet`."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.location)
        return text.removeprefix(".")


@dataclass(frozen=True)
class Written:
    """A config file's data before its references are filled in, and the line of every value.

    Two are always equal: what a config says does not depend on how it was written.
    """

    data: dict[str, Any] = field(compare=False)
    lines: dict[Location, int] = field(compare=False)


@dataclass
class Document:
    """A parsed config file: of dicts, lists, strings and None, without what is empty."""

    path: Path
    raw: dict[str, Any] = field(default_factory=dict)
    """As it was written: merges are resolved, references are not."""
    data: dict[str, Any] = field(default_factory=dict)
    """The same with the references filled in, once `fill_in` was called."""
    problems: list[Problem] = field(default_factory=list)
    lines: dict[Location, int] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    """What came from files, and what the environment put into commands: nobody knows that it is none."""

    def line(self, location: Sequence[str | int]) -> int | None:
        """The line (from 1) of a value, or of the nearest one around it."""
        around = (tuple(location[:length]) for length in range(len(location), 0, -1))
        return next((self.lines[place] for place in around if place in self.lines), None)

    def describe(self, problem: Problem) -> str:
        """`config.yml:12: drives[1].bukcet: unknown key`."""
        line = self.line(problem.location)
        where = f"{self.path}:{line}" if line else str(self.path)
        return f"{where}: {problem.path + ': ' if problem.path else ''}{problem.sentence}"

    def fill_in(self) -> None:
        """Fill in the references; what cannot be filled in goes to the problems."""
        self.data = self._filled_mapping(self.raw, ())

    def _filled_mapping(self, mapping: dict[str, Any], location: Location) -> dict[str, Any]:
        filled = {key: self._filled(value, (*location, key)) for key, value in mapping.items()}
        return _without_empty(filled)

    def _filled(self, value: Any, location: Location) -> Any:
        if isinstance(value, dict):
            return self._filled_mapping(value, location)
        if isinstance(value, list):
            return [self._filled(item, (*location, index)) for index, item in enumerate(value)]
        return self._filled_text(value, location) if isinstance(value, str) else value

    def _filled_text(self, text: str, location: Location) -> str | None:
        filled = fill(text)
        if _UNPRINTABLE.search(filled.text):
            filled.complaints.append("holds a NUL character or half of a surrogate pair")
        self.problems += [Problem(location, complaint) for complaint in filled.complaints]
        is_command = not _COMMANDS.isdisjoint(location)
        found = filled.from_files + (filled.from_environment if is_command else [])
        self.secrets.update(text for text in found if len(text) >= _SHORTEST_SECRET)
        return None if filled.complaints else filled.text


def read(path: Path) -> Document:
    """The document at `path`, its references filled in. Raises ConfigError as `parse` does."""
    document = parse(path)
    document.fill_in()
    return document


def parse(path: Path) -> Document:
    """The document at `path` as it was written.

    Raises:
        ConfigError: it cannot be read, is not YAML, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: the config cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: the config is not UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from None
    document = Document(path)
    try:
        root = yaml.compose(text, Loader=_Loader)
        if isinstance(root, yaml.MappingNode):
            document.raw = _Reading(document).mapping(root, ())
    except yaml.YAMLError as error:  # not chained: its own text quotes the file
        line, reason = _reason(error, text)
        raise ConfigError(f"{path}:{line}: not valid YAML: {reason}") from None
    except RecursionError:
        raise ConfigError(f"{path}: the config is nested too deeply") from None
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(
            f"{path}: the config is not a mapping of sections such as data_sources and drives: it {_what(root)}; "
            "`backupman config example` shows how it looks"
        )
    return document


class _Loader(yaml.SafeLoader):
    """Keeps scalars as text, and takes the tabs that YAML allows: all but those that indent."""

    def scan_to_next_token(self) -> None:
        """Skip what stands before the next token, as YAML's reference implementation does; PyYAML knows no tabs."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Reading:
    """From YAML's nodes to plain data as it was written; mistakes are gathered on the way."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: list[yaml.Node] = []

    def mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        """The mapping without the keys whose value is empty: they are as good as absent."""
        return _without_empty(self._entries(node, location))

    def _entries(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                merged = self._merged(value, location) | merged
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _PLAIN_TAGS or not key.value:
                self._problem(location, f"line {key.start_mark.line + 1}: a key must be text")
                continue
            place = (*location, key.value)
            if key.value in own:
                self._problem(place, "this key stands here twice")
            self._document.lines[place] = key.start_mark.line + 1
            own[key.value] = self._value(value, place)
        return merged | own

    def _merged(self, node: yaml.Node, location: Location) -> dict[str, Any]:
        """What `<<: *anchor` and `<<: [*first, *second]` bring in; the first of a list wins."""
        merged: dict[str, Any] = {}
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(part, yaml.MappingNode) and part not in self._open:
                self._open.append(part)
                merged = self._entries(part, location) | merged
                self._open.pop()
            else:
                self._problem(location, "<< takes a mapping, or a list of mappings")
        return merged

    def _value(self, node: yaml.Node, location: Location) -> Any:
        if node in self._open:
            self._problem(location, "this value holds itself")
            return None
        if len(self._document.lines) > _MOST_VALUES:
            raise ConfigError(f"{self._document.path}: the config holds more than {_MOST_VALUES:,} values")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        if node.tag not in _COLLECTION_TAGS:
            self._problem(location, _TAGGED)
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, location)
            for index, item in enumerate(node.value):
                self._document.lines[*location, index] = item.start_mark.line + 1
            return [self._value(item, (*location, index)) for index, item in enumerate(node.value)]
        finally:
            self._open.pop()

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> str | None:
        if node.tag not in _PLAIN_TAGS:
            self._problem(location, _TAGGED)
            return None
        return None if node.tag == _TAG + "null" else str(node.value)

    def _problem(self, location: Location, sentence: str) -> None:
        self._document.problems.append(Problem(location, sentence))


def _without_empty(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value not in (None, "")}


def _what(root: yaml.Node | None) -> str:
    """What a file that is no config is instead."""
    if isinstance(root, yaml.SequenceNode):
        return "is a list, whose dashes belong below the name of a section"
    is_text = root is not None and root.tag == _TAG + "str"
    return "is text without a colon and a space behind each name" if is_text else "is empty"


def _reason(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line, what is wrong in it, without a word of the file's own, and what to do."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: error.position].count("\n") + 1
        return line, f"the character U+{ord(text[error.position]):04X} must not stand in it"
    assert isinstance(error, yaml.MarkedYAMLError)  # noqa: S101 - the reader's and these are all that compose() raises
    said = ", ".join(part for part in (error.context, error.problem) if part)
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    if r"found character '\t'" in said:
        return line, "a tab stands where only spaces may: indent by spaces, as many as the lines around it have"
    advice = next((advice for part, advice in _ADVICE.items() if part in said), _QUOTES)
    begun = error.context_mark.line + 1 if error.context_mark else line
    return line, re.sub(r"(alias|anchor|handle) '.*?'", r"\1", said) + "; " + advice.format(begun)
