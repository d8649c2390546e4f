"""What of a config file goes to a worker with its work: what one source needs, with the references not filled in.

An excerpt is JSON: `{"config": {sections as they stand in the file}, "told": {endpoint name: [kinds of events]}}`.
Each host fills the references in for itself, so no secret stands in a queue. Labels are filled in here already: they
are what the records know things by.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from backupman.config._document import Written, parse
from backupman.config.model import Config
from backupman.config.plans import JobPlan
from backupman.sources import Source

_OF_ALL = (
    "pipeline", "retention", "hooks", "on_error", "retry", "verify", "deliveries", "max_parallel_uploads",
    "monitoring_verbosity"
)  # fmt: skip
"""The sections that go with every source."""


class Excerpts:
    """What of one config file workers are handed."""

    def __init__(self, config: Config, written: Written) -> None:
        self._config = config
        self._raw = written.data

    def of_source(self, plan: JobPlan, source: Source) -> dict[str, Any]:
        """What a worker needs to back up a source of a job, and to restore and prove its backups."""
        label, drives = source.label, [drive.label for drive in plan.drives]
        block = self._blocks("data_sources", [label])[0]
        job: dict[str, Any] = {
            "data_sources": [_literal(label)],
            "drives": list(map(_literal, drives)),
            "notifiers": [],
        }
        if isinstance(plan.zone, ZoneInfo) and plan.zone.key:  # another host may have another zone
            job["timezone"] = plan.zone.key
        sections = {
            "data_sources": [block],
            "drives": self._blocks("drives", drives),
            "jobs": [self._job(plan.label) | {"label": _literal(plan.label)} | job],
        }
        if source.scratch_server:
            block["scratch_server"] = _literal(source.scratch_server)
            sections["scratch_servers"] = self._blocks("scratch_servers", [source.scratch_server])
        told = {endpoint.name: [str(kind) for kind in endpoint.events] for endpoint in plan.endpoints}
        return {"config": self._section(_OF_ALL) | sections, "told": told}

    def of_notifiers(self, queue: str) -> dict[str, Any]:
        """What a worker needs to send the messages that wait in a queue."""
        found: dict[str, list[Any]] = {}
        for name, blocks in self._config.notifiers.items():
            raw = self._raw["notifiers"][name]
            for block, written in zip(blocks, raw if isinstance(raw, list) else [raw], strict=True):
                if block.queue == queue:
                    own = {"label": _literal(block.label)} if block.label else {}
                    found.setdefault(name, []).append(written | own)
        return {"config": self._section(("deliveries",)) | {"notifiers": found}, "told": {}}

    def _section(self, keys: Iterable[str]) -> dict[str, Any]:
        return {key: self._raw[key] for key in keys if key in self._raw}

    def _blocks(self, section: str, labels: Sequence[str]) -> list[dict[str, Any]]:
        """The blocks of these labels as the file has them, in their order there."""
        known = [each.label for each in getattr(self._config, section)]
        return [
            block | {"label": _literal(label)}
            for label, block in zip(known, self._raw[section], strict=True)
            if label in labels
        ]

    def _job(self, label: str) -> dict[str, Any]:
        """The job as the file has it; nothing of the one that holds everything where the file has none."""
        labels = [job.label for job in self._config.jobs]
        found: dict[str, Any] = self._raw["jobs"][labels.index(label)] if labels else {}
        return found


def excerpts(path: Path, config: Config, plans: Sequence[JobPlan]) -> Excerpts:
    """The excerpts of a config and its file.

    Raises:
        ConfigError: the file cannot be read.
    """
    if config.written:
        return Excerpts(config, config.written)
    document = parse(path)
    return Excerpts(config, Written(document.raw, document.lines))


def _literal(text: str) -> str:
    """A text that filling in references leaves as it is."""
    return text.replace("${", "$${")
