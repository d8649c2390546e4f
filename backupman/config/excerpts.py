"""What of a config file goes to a worker with its work: what one source needs, with the references not filled in.

An excerpt is JSON: `{"config": {sections as they stand in the file}, "told": {endpoint name: [kinds of events]}}`.
Each host fills the references in for itself, so no secret stands in a queue. Labels are filled in here already: they
are what the records know things by.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from backupman.config._document import Document
from backupman.config.loading import refusal
from backupman.config.model import Config
from backupman.config.plans import JobPlan
from backupman.config.secrecy import literal_secrets
from backupman.errors import ConfigError
from backupman.sources import Source

_OF_ALL = (
    "pipeline", "retention", "hooks", "on_error", "retry", "verify", "deliveries", "max_parallel_uploads",
    "monitoring_verbosity"
)  # fmt: skip
"""The sections that go with every source."""


class Excerpts:
    """What of one config file workers are handed."""

    def __init__(self, config: Config, raw: Mapping[str, Any], plans: Sequence[JobPlan]) -> None:
        self._config = config
        self._raw = raw
        self._blocks: dict[tuple[str, str], dict[str, Any]] = {
            (section, each.label): {**raw[section][index], "label": _literal(each.label)}
            for section in ("data_sources", "drives", "scratch_servers")
            for index, each in enumerate(getattr(config, section))
        }
        jobs = raw["jobs"] if config.jobs else [{}]  # without any, one job holds everything
        self._jobs = {plan.label: job for plan, job in zip(plans, jobs, strict=True)}

    def of_source(self, plan: JobPlan, source: Source) -> dict[str, Any]:
        """What a worker needs to back up a source of a job, and to restore and prove its backups."""
        job = {
            **self._jobs[plan.label],
            "label": _literal(plan.label),
            "data_sources": [_literal(source.label)],
            "drives": [_literal(drive.label) for drive in plan.drives],
            "notifiers": [],
        }
        if isinstance(plan.zone, ZoneInfo):  # else that of the worker's host would count
            job["timezone"] = plan.zone.key
        block = self._blocks["data_sources", source.label]
        sections = {
            "data_sources": [block],
            "drives": [self._blocks["drives", drive.label] for drive in plan.drives],
            "jobs": [job],
        }
        if source.scratch_server:
            sections["data_sources"] = [{**block, "scratch_server": _literal(source.scratch_server)}]
            sections["scratch_servers"] = [self._blocks["scratch_servers", source.scratch_server]]
        told = {endpoint.name: [str(kind) for kind in endpoint.events] for endpoint in plan.endpoints}
        return {"config": self._section(_OF_ALL) | sections, "told": told}

    def of_notifiers(self, queue: str) -> dict[str, Any]:
        """What a worker needs to send the messages that wait in a queue."""
        found: dict[str, list[Any]] = {}
        for name, blocks in self._config.notifiers.items():
            listed = self._raw["notifiers"][name]
            for block, written in zip(blocks, listed if isinstance(listed, list) else [listed], strict=True):
                if block.queue == queue:
                    label = {"label": _literal(block.label)} if block.label else {}
                    found.setdefault(name, []).append({**written, **label})
        return {"config": self._section(("deliveries",)) | {"notifiers": found}, "told": {}}

    def _section(self, keys: Iterable[str]) -> dict[str, Any]:
        return {key: self._raw[key] for key in keys if key in self._raw}


def excerpts(path: Path, config: Config, plans: Sequence[JobPlan]) -> Excerpts:
    """The excerpts of a config that was loaded from the file at `path`, and of all its jobs.

    Raises:
        ConfigError: a secret stands in the file itself; the sentence lists every place, a line each.
    """
    if config.written is None:
        raise ConfigError(f"{path}: only a config that was loaded from its file can be handed to workers")
    document = Document(path, lines=config.written.lines, problems=list(literal_secrets(config)))
    if document.problems:
        raise refusal(document)
    return Excerpts(config, config.written.data, plans)


def _literal(text: str) -> str:
    """A text that filling in references leaves as it is."""
    return text.replace("${", "$${")
