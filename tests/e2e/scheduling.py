"""What the tests of schedules share: sources that note their dumps, a daemon, its runs and what it told."""

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backupman.records import Run
from backupman.store import Store
from tests.e2e.forking import Forked
from tests.e2e.test_service import answers
from tests.e2e.world import World, end, wait_for

EVERY_SECOND = "* * * * * *"
ALARMS = ["backup_late", "backup_missed", "backup_stuck", "backup_recovered", "size_anomaly"]


def command(label: str, script: str, **settings: Any) -> dict[str, Any]:
    """A source whose dump is what a shell prints."""
    return {"provider": "command", "label": label, "argv": ["bash", "-c", script], **settings}


def noted(folder: Path, label: str, seconds: float) -> dict[str, Any]:
    """A source that notes when each dump begins and ends, and takes so long."""
    log = folder / "dumps.log"
    script = f'echo "begin {label}" >> {log}; sleep {seconds}; echo dump; echo "end {label}" >> {log}'
    return command(label, script)


def held(folder: Path, label: str) -> dict[str, Any]:
    """A source that notes its dumps, each of which takes until the file `go` is there."""
    source = noted(folder, label, 0)
    wait = f"until test -e {folder}/go; do sleep 0.05; done; echo dump"
    source["argv"][2] = source["argv"][2].replace("sleep 0; echo dump", wait)
    return source


def notes(world: World) -> list[str]:
    """What the sources have noted."""
    log = world.folder / "dumps.log"
    return log.read_text().splitlines() if log.exists() else []


@contextmanager
def serving(world: World) -> Iterator[Forked]:
    """The daemon while the `with` lasts; it is stopped in good order."""
    process = world.fork("serve")
    try:
        wait_for(lambda: answers(world))
        yield process
        ended = end(process, signal.SIGTERM)
        assert ended.code == 0, ended.err
        assert "Traceback" not in ended.err, ended.err
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def runs(store: Store, job: str = "often") -> Sequence[Run]:
    """A job's runs, the oldest first."""
    return list(reversed(store.jobs.runs("test-host", job, 1000)))


def alarms(world: World) -> list[tuple[str, dict[str, Any]]]:
    """What the webhook was told."""
    told = [json.loads(request.body) for request in world.receiver.requests]
    return [(message["Event"], message["Payload"]) for message in told]


def never_twice_at_once(noted: list[str], label: str) -> bool:
    """Whether each beginning is followed by its end before the next one."""
    own = [line.split()[0] for line in noted if line.endswith(label)]
    return own == ["begin", "end"] * (len(own) // 2) + ["begin"] * (len(own) % 2)
