"""Verifies finished copies: reads them back from their drives, reads them through, or restores them in drills.

No copy's status changes by it: a bad one stays on record as the copy that it is, with what is wrong with it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

from backupman.config import Config, JobPlan, wanting
from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Drilled, Message
from backupman.data_plane.priority import Priority
from backupman.data_plane.tasks import VerifyTask
from backupman.drills import DrillReport
from backupman.engine.drill_folders import DrillFolder, DrillFolders
from backupman.engine.hooks import OnError, unheard
from backupman.engine.spools import Spools
from backupman.engine.verify_report import Checked, Tally
from backupman.engine.verify_tasks import VerifyTasks, environment
from backupman.errors import BackupmanError, BusyError, CopyError, Interrupted
from backupman.events import EventKind
from backupman.levels import Level
from backupman.pipeline.encryption import identities_in
from backupman.records import Backup, DriveFile, Status, Verification, now
from backupman.store import Store

log = logging.getLogger(__name__)


class Verifier:
    """Verifies copies, one after the other, and records and reports what came of it."""

    def __init__(
        self,
        config: Config,
        plans: Sequence[JobPlan],
        store: Store,
        spools: Spools,
        clock: Callable[[], datetime] = now,
        on_error: OnError = unheard,
    ) -> None:
        self._config = config
        self._plans = {plan.label: plan for plan in plans}
        self._store = store
        self._clock = clock
        self._on_error = on_error
        self._tasks = VerifyTasks(config, spools)
        self._data_plane: DataPlane | None = None
        self._stopped = False
        self.folders = DrillFolders(config)

    def verify(
        self,
        backups: Iterable[Backup],
        drives: Collection[str] | None = None,
        level: Level = "checksum",
        identities: Sequence[str] = (),
    ) -> Iterator[Checked]:
        """Every finished copy of the backups (on these drives), as it has been looked at; each source is reported.

        The backups of a source stand one after the other. Without `identities` those of `verify.identity_file` count.
        What is interrupted tells of what it has found to be wrong until then: the next sample may be another one.
        """
        for (job, _), group in groupby(backups, key=lambda backup: (backup.job, backup.source)):
            tally, whole = Tally(), False
            keys, unreadable = self._identities(job, level, identities)
            try:
                for backup in group:
                    for file in backup.drive_files:
                        wanted = file.status == Status.FINISHED and (drives is None or file.label in drives)
                        if wanted and (checked := self._checked(backup, file, level, keys, unreadable)):
                            tally.add(checked)
                            yield checked
                whole = True
            finally:
                self._report(tally, whole)

    def stop(self, reason: str) -> None:
        """End what is under way; `verify` raises Interrupted."""
        self._stopped = True
        if self._data_plane:
            self._data_plane.cancel(Interrupted(reason))

    def _identities(self, job: str, level: Level, given: Sequence[str]) -> tuple[Sequence[str], str | None]:
        """The keys that a job's copies are read with; or why there are none."""
        plan = self._plans.get(job)
        file: Path | None = plan.verify.identity_file if plan else self._config.verify.identity_file
        if given or level == "checksum" or file is None:
            return given, None
        try:
            return identities_in(file), None
        except BackupmanError as error:
            return (), error.sentence

    def _checked(
        self, backup: Backup, file: DriveFile, level: Level, identities: Sequence[str], unreadable: str | None
    ) -> Checked | None:
        """What came of it; None of a copy that was removed on purpose meanwhile."""
        started = time.monotonic()
        drill = error = None
        unchecked = False
        try:
            if self._stopped:
                raise Interrupted("verifying was stopped")
            drill = self._look(backup, file, level, identities)
            error = "; ".join(drill.problems) or None if drill else None
        except (Interrupted, BusyError) as stopped:  # while it waited for another drill's end
            raise Interrupted(f"{backup.label}: verifying was stopped") from stopped
        except CopyError as failure:
            error = failure.sentence
        except BackupmanError as failure:
            unchecked = True
            error = failure.sentence if not unreadable else f"{failure.sentence}: {unreadable}"
        if error and not self._store.copies.is_held(file.id):
            return None
        if error:
            found = "could not be checked" if unchecked else "is not right"
            log.error("%s: the copy %s %s: %s", backup.label, file.path, found, error)
        checked = Checked(backup, file, level, error, time.monotonic() - started, drill, unchecked)
        self._record(checked)
        return checked

    def _look(self, backup: Backup, file: DriveFile, level: Level, identities: Sequence[str]) -> DrillReport | None:
        """Raises BackupmanError unless the copy is good as far as the level looks; a drill's report says for itself."""
        if level == "checksum":
            self._run(self._tasks.task(backup, file, level, identities, Path()), ())
            return None
        with self.folders.of(backup.source, lambda: self._stopped) as folder:
            task = self._tasks.task(backup, file, level, identities, folder.work)
            if level == "structure":
                self._run(task, (folder.lock,))
                return None
            return self._drill(backup, task, folder)

    def _drill(self, backup: Backup, task: VerifyTask, folder: DrillFolder) -> DrillReport:
        source = self._config.source(backup.source)
        task = self._tasks.drill(task, backup, self._store.proofs.manifest(backup.id))
        if task.scratch and source and source.scratch_server:
            folder.note(source.scratch_server, task.database)
        found: list[DrillReport] = []

        def take(message: Message) -> None:
            if isinstance(message, Drilled):
                found.append(message.report)

        self._run(task, (folder.lock,), take)
        return found[0]

    def _run(
        self, task: VerifyTask, locks: Sequence[int], take: Callable[[Message], None] = lambda message: None
    ) -> None:
        self._data_plane = DataPlane(Priority(self._config.nice, self._config.ionice))
        if self._stopped:
            raise Interrupted("verifying was stopped")
        try:
            self._data_plane.run(task, take, hand_over=locks, env=environment() if task.level != "checksum" else None)
        finally:
            self._data_plane = None

    def _record(self, checked: Checked) -> None:
        details = checked.drill.document() if checked.drill else {}
        verification = Verification(
            backup_id=checked.backup.id,
            instance=self._config.instance,
            drive=checked.file.label,
            level=checked.level,
            good=checked.error is None,
            error=checked.error,
            at=self._clock(),
            seconds=checked.seconds,
            details=details,
        )
        if checked.unchecked:
            self._store.proofs.note(verification)
        else:
            self._store.proofs.verified(verification, checked.file.id)

    def _report(self, tally: Tally, whole: bool) -> None:
        report = tally.report(self._config.instance)
        if report is None:
            return
        failed = report.bad + report.unchecked > 0
        if not (failed or whole):
            return
        kind = EventKind.VERIFY_FAILURE if failed else EventKind.VERIFY_SUCCESS
        drives = self._config.drive_labels
        bad = self._store.copies.bad(report.instance, report.job, report.source, drives)
        report = report.beside(bad - report.bad)
        plan = self._plans.get(report.job)
        told = wanting(self._config, plan, kind)
        self._store.outbox.announce(kind, report.job, report.instance, report.document(), told)
        if failed and plan:
            self._on_error(plan, report.source, BackupmanError(report.reason), report.copies[0].drive)
