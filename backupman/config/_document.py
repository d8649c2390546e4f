"""A YAML document with the line of every value, and its `${…}` references filled in.

Plain scalars stay the text that the user wrote (only `null` and merge keys are resolved), so that a password `012345`
is never an octal number; pydantic turns text into numbers and booleans where a field asks for them.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from backupman.errors import ConfigError

Location = Sequence[str | int]


@dataclass(frozen=True)
class Problem:
    """Something wrong at one place of a config."""

    location: tuple[str | int, ...]
    sentence: str

    @property
    def path(self) -> str:
        """For example `drives[1].bukcet`."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.location)
        return text.removeprefix(".")


class _Loader(yaml.SafeLoader):
    """Keeps scalars as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(file|credential):([^}]+)|([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?)\}")


@dataclass
class Document:
    """A parsed config file: `data` of dicts, lists, strings and None, without what is empty."""

    path: Path
    data: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)
    _root: yaml.Node | None = None

    def line(self, location: Location) -> int | None:
        """The line (from 1) of a value, or of the nearest one around it."""
        node = self._root
        line = None
        for part in location:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def describe(self, problem: Problem) -> str:
        """`config.yml:12: drives[1].bukcet: unknown key`."""
        line = self.line(problem.location)
        where = f"{self.path}:{line}" if line else str(self.path)
        return f"{where}: {problem.path + ': ' if problem.path else ''}{problem.sentence}"


def read(path: Path) -> Document:
    """The document at `path`.

    Raises:
        ConfigError: it cannot be read, is not YAML, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: the config cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the config is not UTF-8 text (byte {error.start})") from error
    try:
        root = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer resolvers
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: the config is not a mapping of sections such as data_sources and drives")
    document = Document(path, {}, _root=root)
    document.problems.extend(_repeated_keys(root, ()))
    document.data = _cleaned(data, (), document.problems) or {}
    return document


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None


def _repeated_keys(node: yaml.Node | None, location: tuple[str | int, ...]) -> list[Problem]:
    problems: list[Problem] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                problems.append(Problem((*location, key.value), "this key stands here twice"))
            seen.add(key.value)
            problems += _repeated_keys(value, (*location, key.value))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            problems += _repeated_keys(value, (*location, index))
    return problems


def _cleaned(value: Any, location: tuple[str | int, ...], problems: list[Problem]) -> Any:
    """The value with its references filled in; a key with an empty value is as good as absent."""
    if isinstance(value, dict):
        cleaned = {str(key): _cleaned(item, (*location, str(key)), problems) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item is not None and item != ""}
    if isinstance(value, list):
        return [_cleaned(item, (*location, index), problems) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        try:
            return _referred(match)
        except ConfigError as error:
            problems.append(Problem(location, error.sentence))
            return ""

    return _REFERENCE.sub(fill, value)


def _referred(match: re.Match[str]) -> str:
    kind, name, variable, default = match.groups()
    if match[0] == "$${":
        return "${"
    if kind == "file":
        return _content(Path(name))
    if kind == "credential":
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ConfigError(f"${{credential:{name}}} needs systemd's LoadCredential=: CREDENTIALS_DIRECTORY is unset")
        return _content(Path(folder) / name)
    if os.environ.get(variable):
        return os.environ[variable]
    if default is None:
        if variable in os.environ:
            return ""
        raise ConfigError(f"the environment variable {variable} is not set; set it, or write ${{{variable}:-default}}")
    return default


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {reason}") from error
