"""From the YAML file to a Config, with every mistake listed at once.

Checking is static: no connection is opened and no file but the config itself (and what it refers to by `${file:…}`)
is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from backupman import registry
from backupman.config._document import Document, Problem, read
from backupman.config.model import Config
from backupman.config.references import reference_problems, warnings
from backupman.drives import Drive
from backupman.errors import ConfigError
from backupman.notifiers import Notifier
from backupman.registry import Provider
from backupman.sources import Source

T = TypeVar("T", bound=Provider)
M = TypeVar("M", bound=BaseModel)

_WORDING = {
    "missing": "is required",
    "bool_parsing": "should be true or false",
    "int_parsing": "should be a whole number",
    "list_type": "should be a list",
    "string_type": "should be text",
    "model_type": "should be a mapping of keys and values",
    "dict_type": "should be a mapping of keys and values",
    "too_short": "should not be empty",
}


@dataclass(frozen=True)
class Loaded:
    """A good config, its file, and what is worth a second look."""

    config: Config
    path: Path
    warnings: list[str]


def load(path: Path) -> Loaded:
    """The config at `path`.

    Raises:
        ConfigError: its sentence lists every mistake, a line each, with file, line number and path.
    """
    document = read(path)
    problems = document.problems
    data = dict(document.data)
    data["data_sources"] = _providers(data.get("data_sources"), "data_sources", "sources", Source, problems)
    data["drives"] = _providers(data.get("drives"), "drives", "drives", Drive, problems)
    data["notifiers"] = _notifiers(data.get("notifiers"), problems)
    incomplete = [problem.location[0] for problem in problems if problem.location]
    config = _validated(Config, data, (), problems, ignore=incomplete)
    if config and not problems:
        problems += reference_problems(config)
    if problems or not config:
        raise ConfigError("\n".join(document.describe(problem) for problem in _in_order(document, problems)))
    return Loaded(config, path, warnings(config))


def _in_order(document: Document, problems: list[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda problem: document.line(problem.location) or 0)


def _providers(items: Any, section: str, family: str, contract: type[T], problems: list[Problem]) -> Any:
    if not isinstance(items, list):
        return items
    found = (_provider(item, (section, index), family, contract, problems) for index, item in enumerate(items))
    return [provider for provider in found if provider]


def _provider(
    item: Any, location: tuple[str | int, ...], family: str, contract: type[T], problems: list[Problem]
) -> T | None:
    if not isinstance(item, dict):
        problems.append(Problem(location, "should be a mapping of keys and values"))
        return None
    if "provider" not in item:
        problems.append(Problem(location, f"provider is required: one of {', '.join(registry.names(family))}"))
        return None
    cls = _class(family, contract, str(item["provider"]), (*location, "provider"), problems)
    return _validated(cls, item, location, problems) if cls else None


def _notifiers(section: Any, problems: list[Problem]) -> Any:
    if section is None:
        return {}
    if not isinstance(section, dict):
        return section
    blocks: dict[str, list[Notifier]] = {}
    for name, value in section.items():
        cls = _class("notifiers", Notifier, name, ("notifiers", name), problems)  # type: ignore[type-abstract]
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            location = ("notifiers", name, index) if isinstance(value, list) else ("notifiers", name)
            block = _validated(cls, item, location, problems) if cls else None
            if block:
                blocks.setdefault(name, []).append(block)
    return blocks


def _class(
    family: str, contract: type[T], name: str, location: tuple[str | int, ...], problems: list[Problem]
) -> type[T] | None:
    try:
        return registry.provider_class(family, contract, name)
    except ConfigError as error:
        problems.append(Problem(location, error.sentence))
        return None


def _validated(
    cls: type[M], item: Any, location: tuple[str | int, ...], problems: list[Problem], ignore: Iterable[str | int] = ()
) -> M | None:
    """The model, or None and its mistakes added; mistakes under the keys to `ignore` were reported before."""
    try:
        return cls.model_validate(item)
    except ValidationError as failure:
        skipped = set(ignore)
        for error in failure.errors(include_url=False, include_context=True):
            where = tuple(part for part in error["loc"] if not _is_branch(part))
            if not (where and where[0] in skipped):
                problems.append(Problem((*location, *where), _sentence(cls, str(error["type"]), error)))
        return None


def _is_branch(part: str | int) -> bool:
    """Whether pydantic put the part there to name a branch of a union, which no user wrote."""
    return isinstance(part, str) and (part in ("str", "int", "function-before") or "[" in part)


def _sentence(cls: type[BaseModel], kind: str, error: Any) -> str:
    if kind == "extra_forbidden":
        return f"unknown key{registry.nearest(str(error['loc'][-1]), sorted(_keys(cls)))}"
    if kind in ("value_error", "assertion_error"):
        return str(error["msg"]).removeprefix("Value error, ")
    return _WORDING.get(kind) or str(error["msg"][0].lower() + error["msg"][1:])


def _keys(cls: type[BaseModel]) -> set[str]:
    """The keys of a block and of the blocks in it."""
    found: set[str] = set()
    for name, info in cls.model_fields.items():
        found.add(info.alias or name)
        for inner in _models(info.annotation):
            found |= _keys(inner)
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]
