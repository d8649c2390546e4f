"""Configs of a fleet's hosts: one control host's, and what workers make of its excerpts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from backupman.config import Config, JobPlan, plans
from backupman.config.excerpts import Excerpts, excerpts
from backupman.config.worker import LoadedWorker, load_worker
from tests.config.conftest import Load

POSTGRES = "database: {url: 'postgresql://backupman@db/backupman'}\n"
CONTROL = f"instance: shop\nexecutor: procrastinate\n{POSTGRES}"
WORKER = f"instance: shop\n{POSTGRES}"

Excerpt = dict[str, Any]
Worker = Callable[[str], LoadedWorker]


def handed_out(loaded: Load, text: str) -> tuple[Config, list[JobPlan], Excerpts]:
    """A control host's config of these sections, its jobs, and the excerpts of it."""
    found = loaded(CONTROL + text)
    jobs = plans(found.config)
    return found.config, jobs, excerpts(found.path, found.config, jobs)


def excerpt_of(loaded: Load, text: str, label: str, job: int = 0) -> Excerpt:
    """The excerpt of one source."""
    config, jobs, made = handed_out(loaded, text)
    source = config.source(label)
    assert source
    return made.of_source(jobs[job], source)


def worker_at(folder: Path, text: str = "") -> LoadedWorker:
    """The config of a worker, of these sections beside the ones that it must have."""
    path = folder / "worker.yml"
    path.write_text(WORKER + text, encoding="utf-8")
    return load_worker(path)
