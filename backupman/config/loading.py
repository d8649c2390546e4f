"""From the YAML file to a Config, with every mistake listed at once.

Checking is static: no connection is opened and no file but the config itself (and what it refers to by `${file:…}`)
is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from backupman import registry
from backupman.config._document import Document, Location, Problem, Written, read
from backupman.config._mistakes import mistakes
from backupman.config.model import Config
from backupman.config.references import endpoint_problems, fleet_problems, label_problems, misplaced, warnings
from backupman.config.secrecy import literal_secrets
from backupman.drives import Drive
from backupman.errors import ConfigError
from backupman.notifiers import Notifier
from backupman.registry import Provider
from backupman.sources import Source

T = TypeVar("T", bound=Provider)
M = TypeVar("M", bound=BaseModel)
C = TypeVar("C", bound=Config)

WHOLE = frozenset({"data_sources", "drives"})
"""The sections that a whole config has, and a worker's own has not."""


@dataclass(frozen=True)
class Loaded:
    """A good config, its file, and what is worth a second look."""

    config: Config
    path: Path

    @property
    def warnings(self) -> list[str]:
        """Sentences about what is allowed, and probably not meant."""
        return warnings(self.config)


def load(path: Path) -> Loaded:
    """The config at `path`.

    Raises:
        ConfigError: its sentence lists every mistake, a line each, with file, line number and path.
    """
    return loaded(read(path))


def loaded(document: Document) -> Loaded:
    """The config that a document whose references are filled in comes to. Raises ConfigError as `load` does."""
    if is_workers_own(document):
        raise ConfigError(
            f"{document.path}: data_sources and drives are required; a worker's own config, which has neither, is for "
            "`backupman worker`, `workers`, `config check` and `config show`: ask everything else on the control host"
        )
    config = config_of(document, Config)
    if config and not document.problems and config.executor == "procrastinate":
        config.written_as(Written(document.raw, document.lines))
        document.problems += [*fleet_problems(config), *literal_secrets(config)]
    if document.problems or not config:
        raise refusal(document)
    return Loaded(config.hiding(document.secrets), document.path)


def is_workers_own(document: Document) -> bool:
    """Whether a config is a worker's own: it has `instance` or `worker`, and neither `data_sources` nor `drives`."""
    keys = document.raw.keys()
    return not keys.isdisjoint({"instance", "worker"}) and keys.isdisjoint(WHOLE)


def config_of(document: Document, model: type[C]) -> C | None:
    """The config that a document whose references are filled in comes to; what is wrong goes to its problems."""
    return _Loading(document).config(model)


def refusal(document: Document) -> ConfigError:
    """Every problem of a document, a line each."""
    return ConfigError("\n".join(map(document.describe, _in_order(document))))


def _in_order(document: Document) -> list[Problem]:
    return sorted(dict.fromkeys(document.problems), key=lambda problem: document.line(problem.location) or 0)


class _Loading:
    """One document on its way to a Config; what is wrong goes to the document's problems."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._problems = document.problems
        self._classes: dict[tuple[str, str], Any] = {}

    def config(self, model: type[C]) -> C | None:
        """The config, or None and its mistakes listed."""
        data = dict(self._document.data)
        contracts: dict[str, type[Provider]] = {
            "data_sources": Source,
            "scratch_servers": Source,
            "drives": Drive,
        }
        for section, contract in contracts.items():
            if isinstance(data.get(section), list):
                data[section] = self._providers(data[section], section, contract)
        blocks = data["notifiers"] = self._notifiers(data.get("notifiers", {}))
        self._problems += misplaced(self._document.data)
        config = self._validated(model, data, ())
        self._problems += label_problems(self._document.data)
        if not self._listed(("notifiers",)):
            self._problems += endpoint_problems(self._document.data, blocks)
        return config

    def _providers(self, items: list[Any], section: str, contract: type[T]) -> list[T]:
        found = (self._provider(item, (section, index), contract) for index, item in enumerate(items))
        return [provider for provider in found if provider]

    def _provider(self, item: Any, location: Location, contract: type[T]) -> T | None:
        family = contract.__module__.removeprefix("backupman.")
        if not isinstance(item, dict):
            self._problem(location, "should be a mapping of keys and values")
            return None
        if "provider" not in item:
            if not self._listed((*location, "provider")):
                self._problem(location, f"provider is required: one of {', '.join(registry.names(family))}")
            return None
        cls = self._class(family, contract, str(item["provider"]), (*location, "provider"))
        return self._validated(cls, item, location) if cls else None

    def _notifiers(self, section: Any) -> Any:
        if not isinstance(section, dict):
            return section
        blocks: dict[str, list[Notifier]] = {}
        for name, value in section.items():
            cls = self._class("notifiers", Notifier, name, ("notifiers", name))  # type: ignore[type-abstract]  # looked up by name
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                location = ("notifiers", name, index) if isinstance(value, list) else ("notifiers", name)
                block = self._validated(cls, item, location) if cls else None
                if block:
                    blocks.setdefault(name, []).append(block)
        return blocks

    def _class(self, family: str, contract: type[T], name: str, location: Location) -> type[T] | None:
        if (family, name) not in self._classes:
            try:
                self._classes[family, name] = registry.provider_class(family, contract, name)
            except ConfigError as error:
                self._problem(location, error.sentence)
                return None
        found: type[T] = self._classes[family, name]
        return found

    def _validated(self, cls: type[M], item: Any, location: Location) -> M | None:
        """The model, or None and its mistakes listed, except where one of the same place is listed already."""
        try:
            return cls.model_validate(item, context={"config_file": self._document.path})
        except ValidationError as failure:
            found = [Problem((*location, *where), sentence) for where, sentence in mistakes(cls, item, failure)]
            self._problems += [problem for problem in found if not self._listed(problem.location)]
            return None

    def _listed(self, location: Location) -> bool:
        """Whether a mistake at this place, around it or, for a list of providers, in it is listed already."""
        return any(
            _is_in(location, problem.location) or _is_in(problem.location, location) for problem in self._problems
        )

    def _problem(self, location: Sequence[str | int], sentence: str) -> None:
        self._problems.append(Problem(tuple(location), sentence))


def _is_in(location: Location, around: Location) -> bool:
    return location[: len(around)] == around
