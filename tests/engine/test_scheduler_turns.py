"""Whatever is due at once, the scheduler's other work has its turn: without it the daemon would be taken for dead."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

from backupman.config import JobPlan, load
from backupman.config.plans import plans
from backupman.engine.promises import Missed
from backupman.engine.scheduler import Scheduler
from backupman.records import Run, now
from backupman.store import Store
from tests.e2e.world import wait_for

MANY = 30


class Held:
    """Runs that are all begun, and do not come back from it before they may."""

    def __init__(self) -> None:
        self.may = Event()
        self.begun: list[str] = []

    def end_dead(self) -> None:
        """There are none."""

    def busy(self, plan: JobPlan, source: str) -> bool:
        """Nothing is under way."""
        return False

    def begin(self, plan: JobPlan, due: datetime, at: datetime, sources: Sequence[str], reason: str | None) -> bool:
        """Note it, and wait."""
        self.begun.append(plan.label)
        self.may.wait()
        return True

    def go_on(self, plan: JobPlan, run: Run, sources: Sequence[str]) -> bool:
        """Nothing was interrupted."""
        return False


def never(plan: JobPlan, missed: Missed) -> None:
    """Nothing is too late here."""
    raise AssertionError(f"{plan.label} was missed: {missed}")


def test_a_beat_is_not_kept_waiting_by_all_that_is_due(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    jobs = "".join(f"  - {{label: job {number}, every: 1s}}\n" for number in range(MANY))
    config.write_text(
        "data_sources: [{provider: sqlite, label: App, db_path: /srv/app.sqlite}]\n"
        f"drives: [{{provider: local, label: Disk, folder: {tmp_path}}}]\njobs:\n{jobs}"
    )
    store = Store.open(f"sqlite:///{tmp_path / 'records.db'}")
    held, beats = Held(), []
    scheduler = Scheduler(store, "shop", held, never, now)
    scheduler.start(plans(load(config).config))
    try:
        wait_for(lambda: held.begun)
        scheduler.every(timedelta(seconds=0.05), "heartbeat", lambda: beats.append(len(held.begun)))
        wait_for(lambda: len(beats) > 60)
        held.may.set()
        wait_for(lambda: len({*held.begun}) == MANY)
    finally:
        held.may.set()
        scheduler.close()
        store.close()
