"""Compares the records with what the drives hold, and puts right what can be: `_one` tells it for one drive.

Nothing is removed that is not on record as exactly ours, and nothing that stands there is replaced before another copy
was read from end to end and is good.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from backupman.config import Config, JobPlan, wanting
from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Listed, Message, Phase, SessionOpened, Unlisted, Uploaded
from backupman.data_plane.priority import Priority
from backupman.data_plane.tasks import AbortTask, Copy, ListTask, MendTask
from backupman.drives import Drive
from backupman.engine.adopting import adopt
from backupman.engine.comparing import Comparison, Finding, Found, Known, Object
from backupman.engine.holding import Holding, source_alone
from backupman.engine.locks import reconcile_lock
from backupman.engine.reconcile_report import JOB, Item, Review, report_of
from backupman.engine.restores import ending_of
from backupman.engine.tasks import drive_task, whole_sidecar
from backupman.errors import BackupmanError, BusyError, CopyError, Interrupted
from backupman.events import EventKind
from backupman.records import Backup, DriveFile, Status
from backupman.store import Store
from backupman.store.imports import TRIGGER


class Reconciler:
    """Looks at drives one after the other; reports each one where something is wrong, or was."""

    def __init__(self, config: Config, plans: Sequence[JobPlan], store: Store, holding: Holding | None = None) -> None:
        self._config = config
        self._holding = holding
        self._plans = {plan.label: plan for plan in plans}
        self._store = store
        self._data_plane: DataPlane | None = None
        self._reason: Interrupted | None = None

    def stop(self, reason: str) -> None:
        """End what is under way, from any thread; `reconcile` then raises Interrupted."""
        self._reason = Interrupted(reason)
        if data_plane := self._data_plane:
            data_plane.cancel(self._reason)

    def reconcile(self, drives: Sequence[Drive], *, fix: bool, adopting: Collection[str] = ()) -> Iterator[Review]:
        """What came of each drive. With `fix` what can be is put right; `adopting` are other instances taken for ours.

        Raises:
            BusyError: somebody else does the same.
            Interrupted: it was stopped.
        """
        with reconcile_lock(self._config.state_folder):
            for drive in drives:
                review = self._one(drive, {self._config.instance, *adopting}, fix=fix)
                self._report(review)
                yield review

    def _one(self, drive: Drive, instances: Collection[str], *, fix: bool) -> Review:
        files = self._store.catalogue.on(self._config.instance, drive.label)
        records = [self._known(file) for file in files]
        comparison = Comparison(instances, records, self._elsewhere(drive, files))
        review = Review(drive.label)
        later: list[Found] = []

        def take(message: Message) -> None:
            if isinstance(message, Unlisted):
                review.unlisted = message.error
            if not isinstance(message, Listed):
                return
            found_now = (found for held in message.objects for found in comparison.add(Object(**held.model_dump())))
            for found in found_now:
                if found.kind == Finding.ORPHANED:  # at once: of a whole bucket they do not fit into memory
                    self._orphan(review, drive, found, fix=fix)
                else:
                    later.append(found) if found.mendable else review.tell(Item(found))

        try:
            self._run(self._survey(drive, records), take)
        except Interrupted:
            raise
        except BackupmanError as error:
            review.error = error.sentence
            return review
        review.right += sum(known.status == Status.FINISHED for known in records)
        begun = self._begun_since(drive, records)
        for found in (*later, *comparison.rest()):
            if found.name.removesuffix(".json") not in begun:
                self._judge(review, drive, found, fix=fix)
        return review

    def _begun_since(self, drive: Drive, records: Sequence[Known]) -> set[str]:
        """The objects of backups that were begun after these records were looked at."""
        now = self._store.catalogue.on(self._config.instance, drive.label)
        return {file.backup.object_name for file in now} - {known.name for known in records}

    def _run(
        self, task: BaseModel, take: Callable[[Message], None] = lambda message: None, hand_over: Sequence[int] = ()
    ) -> None:
        """Do a task in a child that `stop` reaches. Raises as DataPlane.run does."""
        self._data_plane = DataPlane(Priority(self._config.nice, self._config.ionice))
        if self._reason:
            raise self._reason
        self._data_plane.run(task, take, hand_over=hand_over)

    def _survey(self, drive: Drive, records: Sequence[Known]) -> ListTask:
        held = [known for known in records if known.status == Status.FINISHED]
        return ListTask(
            drive=drive_task(self._config, drive),
            objects=[known.ref for known in held if known.ref],
            sidecars=[known.sidecar_ref for known in held if known.sidecar_ref],
            retry=self._config.retry.policy(),
        )

    def _orphan(self, review: Review, drive: Drive, found: Found, *, fix: bool) -> None:
        assert found.sidecar is not None  # noqa: S101 - an orphan has one
        backup = self._store.catalogue.backup(found.sidecar.id)
        if backup and any(file.label == drive.label for file in backup.drive_files):
            return  # it was begun after we had looked at the records
        item = Item(found)
        if fix:
            try:
                adopted = adopt(self._config, self._store, drive, found)
                item.mended = f"it is on record again as {adopted.id[:8]}"
            except BackupmanError as error:
                item.error = error.sentence
        review.tell(item)

    def _judge(self, review: Review, drive: Drive, found: Found, *, fix: bool) -> None:
        """Look at the records again before anything is said of them: they may have changed since."""
        item = Item(found)
        if found.known and found.mendable:
            file = self._as_it_was(found.known)
            if file is None:
                return
            if fix:
                self._mend(drive, file.backup, item, found.known)
        review.tell(item)

    def _as_it_was(self, known: Known) -> DriveFile | None:
        """The record, unless it is another by now: the copy was removed, or is being uploaded."""
        file = self._store.catalogue.file(known.id)
        return file if file and self._known(file) == known else None

    def _mend(self, drive: Drive, backup: Backup, item: Item, known: Known) -> None:
        try:
            with source_alone(self._config.state_folder, self._holding, backup.source) as lock:
                if file := self._as_it_was(known):
                    self._put_right(drive, file, item, lock)
        except BusyError:
            item.error = f"{backup.source} is being backed up: try again when that has ended"
        except Interrupted:
            raise
        except BackupmanError as error:
            item.error = error.sentence

    def _put_right(self, drive: Drive, file: DriveFile, item: Item, lock: int) -> None:
        backup, left = file.backup, item.found.kind == Finding.LEFTOVER
        if item.found.kind == Finding.UNREAD:
            self._learn(drive, file, item, lock)
            return
        if backup.sha256 is None and not left:
            raise BackupmanError("no checksum of this backup is on record, so nobody can tell which copy of it is good")
        if not left or (item.found.object and backup.dump_status == Status.FINISHED):
            try:
                self._copy(drive, file, item, lock)
            except CopyError:  # any other error leaves it open whether this is the only good copy
                if not left:
                    raise
            else:
                return
        task = drive_task(self._config, drive, file.session)
        retry = self._config.retry.policy()
        self._run(AbortTask(object_name=backup.object_name, drives=[task], retry=retry), hand_over=(lock,))
        self._store.backups.change_drive_file(backup.id, drive.label, session=None)
        item.mended = "what the failed upload has left was removed"

    def _learn(self, drive: Drive, file: DriveFile, item: Item, lock: int) -> None:
        """Read an imported copy, and record what it is; of two that differ nobody knows which one is good."""
        backup = file.backup

        def take(message: Message) -> None:
            if not isinstance(message, Uploaded):
                return
            sha256 = message.checksums["sha256"]
            if backup.sha256 not in (None, sha256):
                item.error = "its content is not that of the copy on another drive, and nobody knows which one is good"
                return
            self._store.catalogue.mended(file.id, **_about(message), sha256=sha256, updated_at=file.updated_at)
            if backup.sha256 is None:
                size = None if ending_of(self._config, backup) else message.size
                self._store.backups.change(backup.id, sha256=sha256, stored_size=message.size, size=size)
            item.mended = "it was read, and they are now"

        task = self._mend_task(drive, file, read=True).model_copy(update={"sha256": ""})
        self._run(task, take, hand_over=(lock,))

    def _copy(self, drive: Drive, file: DriveFile, item: Item, lock: int) -> None:
        backup, bare = file.backup, item.found.kind == Finding.BARE
        done = "its sidecar was written again" if bare else "it was read, and is what was stored"

        def take(message: Message) -> None:
            nonlocal done
            if isinstance(message, Phase):
                done = "it was copied from another drive"
            elif isinstance(message, SessionOpened):
                self._store.backups.change_drive_file(backup.id, drive.label, session=message.session)
            elif isinstance(message, Uploaded):
                fields = _about(message) | {"sha256": backup.sha256}
                if message.ref != file.ref:
                    fields["path"] = drive.path(backup.object_name)
                self._store.catalogue.mended(file.id, **fields)
                item.error = message.sidecar_error
                item.mended = None if bare and message.sidecar_error else done

        self._run(self._mend_task(drive, file, read=not bare), take, hand_over=(lock,))

    def _mend_task(self, drive: Drive, file: DriveFile, *, read: bool) -> MendTask:
        backup = file.backup
        held = {
            other.label: other.ref
            for other in backup.drive_files
            if other.id != file.id and other.status == Status.FINISHED and other.ref
        }
        plan = self._plans.get(backup.job)
        pipeline = plan.pipeline if plan else self._config.pipeline
        manifest = self._store.proofs.manifest(backup.id)
        return MendTask(
            drive=drive_task(self._config, drive, file.session),
            object_name=backup.object_name,
            ref=file.ref,
            size=backup.stored_size,
            sha256=backup.sha256 or "",
            sidecar=whole_sidecar(self._config, pipeline, backup, manifest) if backup.sha256 else {},
            copies=[
                Copy(drive=drive_task(self._config, each), ref=held[each.label])
                for each in self._config.drives
                if each.label in held
            ],
            read=read,
            foreign=_name_of(file) != backup.object_name,
            retry=self._config.retry.policy(),
        )

    def _report(self, review: Review) -> None:
        if review.good and not review.mended and not self._was_wrong(review.drive):
            return
        kind = EventKind.RECONCILE_REPORT
        report = report_of(review, self._config.instance)
        told = wanting(self._config, None, kind)
        self._store.outbox.announce(kind, JOB, report.instance, report.document(), told)

    def _was_wrong(self, drive: str) -> bool:
        """Whether the last report about a drive told of something that was left wrong."""
        recent = self._store.outbox.events(EventKind.RECONCILE_REPORT, limit=20)  # each may list thousands of objects
        ours = (event.payload for event in recent if event.instance == self._config.instance)
        last = next((known for known in ours if known["Drive"] == drive), {})
        return bool(last.get("Failed") or last.get("Error"))

    def _elsewhere(self, drive: Drive, files: Sequence[DriveFile]) -> set[str]:
        """Failed copies that another drive of the config has, of jobs that still put their backups onto this one."""
        labels = self._config.drive_labels
        found = self._store.catalogue.elsewhere(self._config.instance, drive.label, labels)
        jobs = {plan.label for plan in self._plans.values() if drive in plan.drives}
        return {file.id for file in files if file.id in found and file.backup.job in jobs}

    def _known(self, file: DriveFile) -> Known:
        return Known(
            id=file.id,
            backup_id=file.backup_id,
            name=_name_of(file),
            status=file.status,
            ref=file.ref,
            sidecar_ref=file.sidecar_ref,
            size=file.size,
            checksums=file.checksums,
            verify_error=file.verify_error if self._store.proofs.is_damaged(file) else None,
            session=file.session,
            waits=bool(file.backup.dump_path) or file.backup.trigger == TRIGGER,  # of theirs we remove nothing
        )


def _name_of(file: DriveFile) -> str:
    """What the object is called: another program has stored an imported one under a name of its own."""
    ours, path = file.backup.object_name, file.path
    return ours if path is None or path.endswith(ours) else path


def _about(message: Uploaded) -> dict[str, Any]:
    return {
        "ref": message.ref,
        "size": message.size,
        "checksums": message.checksums,
        "sidecar_ref": message.sidecar_ref,
    }
