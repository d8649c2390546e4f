"""A worker's own config, and the config that an excerpt of the control host's comes to on the worker's host."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import Field, SerializeAsAny, ValidationError

from backupman.config._document import Document, Location, Problem, parse
from backupman.config._mistakes import mistakes
from backupman.config.host import HostConfig
from backupman.config.loading import WHOLE, Loaded, config_of, is_workers_own, loaded, refusal
from backupman.config.model import Config
from backupman.config.plans import JobPlan, plans
from backupman.drives import Drive
from backupman.errors import ConfigError
from backupman.sources import Source


class WorkerConfig(HostConfig):
    """What a worker is told by its own host."""

    instance: str = Field(min_length=1, max_length=255, description="The `instance` of the control host.")


@dataclass(frozen=True)
class LoadedWorker:
    """A good config of a worker, its file, its sections as they stand there, and what is worth a second look."""

    config: WorkerConfig
    path: Path
    raw: Mapping[str, Any]
    warnings: list[str]


def load_any(path: Path, *, worker: bool = False) -> Loaded | LoadedWorker:
    """The config at `path`: as a worker reads it where it is a worker's own, or that is asked for.

    The file is read once: it may be a pipe, such as a shell's `<(…)`.

    Raises:
        ConfigError: as `load` does.
    """
    document = parse(path)
    if worker or is_workers_own(document):
        return _loaded_worker(document)
    document.fill_in()
    return loaded(document)


def load_worker(path: Path) -> LoadedWorker:
    """The worker's config at `path`: of a control host's whole config only what a host says of itself alone.

    Raises:
        ConfigError: its sentence lists every mistake, a line each, with file, line number and path.
    """
    return _loaded_worker(parse(path))


def _loaded_worker(document: Document) -> LoadedWorker:
    others = [key for key in document.raw if key in Config.model_fields and key not in _OWN]
    document.raw = {key: value for key, value in document.raw.items() if key not in others}
    document.fill_in()
    config = None
    try:
        config = WorkerConfig.model_validate(document.data, context={"config_file": document.path})
    except ValidationError as failure:
        wrong = {problem.location for problem in document.problems}
        found = mistakes(WorkerConfig, document.data, failure)
        document.problems += [Problem(place, sentence) for place, sentence in found if place not in wrong]
    on_postgres = config.database.on_postgres if config else "database" in document.raw
    if not on_postgres and not any(problem.location[:1] == ("database",) for problem in document.problems):
        sentence = "a worker needs the control host's PostgreSQL: write its database section here too"
        document.problems.append(Problem(("database",), sentence))
    if document.problems or not config:
        raise refusal(document)
    return LoadedWorker(config.hiding(document.secrets), document.path, document.raw, list(_warnings(config, others)))


def _warnings(config: WorkerConfig, others: Sequence[str]) -> Iterator[str]:
    """What is allowed, and probably not meant."""
    if others and WHOLE.isdisjoint(others):
        yield f"a worker does not read {', '.join(others)}: only the control host's config counts for that"
    if not config.worker.queues and not config.worker.take_any:
        yield "worker: it takes from no queue, and does not start unless `--queue` names one"


def with_excerpt(worker: LoadedWorker, excerpt: Mapping[str, Any]) -> Config:
    """The config of an excerpt on this host: its references are filled in here, what is this host's own is its own.

    Raises:
        ConfigError: a reference leads nowhere on this host, or this version does not know a setting; one sentence.
    """
    handed = {key: value for key, value in excerpt["config"].items() if key not in _OWN}
    document = Document(worker.path, raw={**handed, **worker.raw})
    document.fill_in()
    config = config_of(document, Config if "data_sources" in document.raw else _Deliveries)
    if config is None or document.problems:
        wrong = [f"{_place(document, problem.location)}: {problem.sentence}" for problem in document.problems]
        raise ConfigError(f"{socket.gethostname()}: {'; '.join(dict.fromkeys(wrong))}")
    return config.hiding(document.secrets)


def plans_of(config: Config, excerpt: Mapping[str, Any]) -> list[JobPlan]:
    """The jobs of an excerpt's config; who is told, is told by the control host."""
    told = [_Told(name, events) for name, events in excerpt["told"].items()]
    return [replace(plan, endpoints=told) for plan in plans(config)]


def refused(worker: WorkerConfig, config: Config) -> str | None:
    """Why a worker may not do what it was handed, as a sentence; nothing if it may."""
    section = worker.worker
    for source in config.data_sources:
        if section.allow is None and source.provider == "command":
            return (
                f"{socket.gethostname()} runs no command of another host for {source.label}: "
                "allow it by a rule of worker.allow in the config there"
            )
        if section.allow is not None and not any(_fits(rule, source) for rule in section.allow):
            return f"{socket.gethostname()} does not take {source.label}: no rule of worker.allow in its config fits"
    if not section.hooks and (place := _commands(config)):
        return (
            f"{socket.gethostname()} runs no commands of another host, and there is {place}: "
            "allow them by worker: {hooks: true} in the config there"
        )
    return None


@dataclass(frozen=True)
class _Told:
    """What a worker knows of an endpoint."""

    name: str
    events: Sequence[str]


class _Deliveries(Config):
    """A config to send messages with: nothing is dumped."""

    data_sources: list[SerializeAsAny[Source]] = Field(default=[])
    drives: list[SerializeAsAny[Drive]] = Field(default=[])


_OWN = frozenset(WorkerConfig.model_fields)


def _fits(rule: Mapping[str, str], source: Source) -> bool:
    """Whether the source has every setting of a rule, and each fits its pattern; of a list every item."""
    return all(
        (texts := _texts(getattr(source, name) if name in type(source).model_fields else None))
        and all(fnmatchcase(text, pattern) for text in texts)
        for name, pattern in rule.items()
    )


def _texts(value: object) -> list[str]:
    """What patterns are held against: nothing for what is absent, a secret, or no plain value."""
    if isinstance(value, list):
        found = [_texts(item) for item in value]
        return [text for texts in found for text in texts] if all(found) else []
    if isinstance(value, bool):
        return [str(value).lower()]
    return [str(value)] if isinstance(value, str | int | Path) else []


def _commands(config: Config) -> str | None:
    """Where the config has commands."""
    if config.on_error:
        return "on_error"
    hooks = [plan.hooks for plan in plans(config)]
    names = ("before_backup", "after_backup", "on_error")
    return next((f"hooks.{name}" for each in hooks for name in names if getattr(each, name)), None)


def _place(document: Document, location: Location) -> str:
    """Where it is, with labels instead of the numbers, which are other ones in the control host's file."""
    text = ""
    value: Any = document.raw
    for part in location:
        number = part if isinstance(part, int) and isinstance(value, list) else None
        value = value.get(part) if isinstance(value, dict) else None if number is None else value[number]
        label = value.get("label", part) if isinstance(value, dict) else part
        text += f".{part}" if number is None else f"[{label}]"
    return text.removeprefix(".")
