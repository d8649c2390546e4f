"""Compares the copies on record with what a drive holds: a pure judgement, made while the listing comes in."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from backupman.errors import BackupmanError
from backupman.naming import RESTORE_TXT, is_object, sidecar_name
from backupman.records import Status
from backupman.sidecar import Sidecar
from backupman.text import one_line


class Finding(StrEnum):
    """What is the matter with an object.

    `missing`, `altered`: a copy on record is gone, or is not what was stored. `bare`: its sidecar is gone. `leftover`:
    an upload that has failed, and has left something under its recorded name. `absent`: one that has failed, and the
    dump is on another drive. `unread`: an imported copy is there, and its size and checksum are not on record.
    `orphaned`: ours by its sidecar, and not on record. `unclaimed`: it is called like an object of ours, and no sidecar
    says whose it is. `foreign`: another installation's, or nothing of Backupman's.
    """

    MISSING = "missing"
    ALTERED = "altered"
    BARE = "bare"
    LEFTOVER = "leftover"
    ABSENT = "absent"
    UNREAD = "unread"
    ORPHANED = "orphaned"
    UNCLAIMED = "unclaimed"
    FOREIGN = "foreign"


WRONG = frozenset({Finding.MISSING, Finding.ALTERED, Finding.BARE, Finding.LEFTOVER, Finding.ORPHANED})
"""What ought not to be; the others are only told."""
MENDABLE = WRONG | {Finding.ABSENT, Finding.UNREAD}
"""What something can be done about."""


@dataclass(frozen=True)
class Known:
    """A copy on record: `id` is its drive file's. `waits`: its upload will go on from the spool."""

    id: str
    backup_id: str
    name: str
    status: str
    ref: str | None = None
    sidecar_ref: str | None = None
    size: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    verify_error: str | None = None
    session: str | None = None
    waits: bool = False


@dataclass(frozen=True)
class Object:
    """What a drive holds; where only refs count it has no name.

    `sidecar` is the text of one that is not on record, `unreadable` why there is none.
    """

    ref: str
    name: str = ""
    size: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    sidecar: str | None = None
    unreadable: str | None = None


@dataclass(frozen=True)
class Found:
    """One finding; an orphan comes with its object and its sidecar."""

    kind: Finding
    name: str
    reason: str
    known: Known | None = None
    object: Object | None = None
    sidecar: Sidecar | None = None
    sidecar_ref: str | None = None

    @property
    def wrong(self) -> bool:
        """Whether it ought not to be."""
        return self.kind in WRONG

    @property
    def mendable(self) -> bool:
        """Whether something can be done about it."""
        return self.kind in MENDABLE


class Comparison:
    """All findings on a drive, as its objects are added. It remembers the records, and nothing that is foreign to them.

    `instances` are the installations whose orphans are ours, `elsewhere` the ids of copies that another drive has.
    """

    def __init__(self, instances: Collection[str], records: Sequence[Known], elsewhere: Collection[str] = ()) -> None:
        self._instances = instances
        self._records = records
        self._elsewhere = elsewhere
        self._by_ref = {each.ref: each for each in records if each.ref and each.status == Status.FINISHED}
        self._by_name = {each.name: each for each in records}
        self._sidecar_refs = {each.sidecar_ref for each in records if each.sidecar_ref}
        self._seen: set[str] = set()
        self._unpaired: dict[str, Object] = {}
        self._sidecars: dict[str, tuple[Sidecar, str]] = {}
        self._unreadable: dict[str, str] = {}

    def add(self, found: Object) -> Iterator[Found]:
        """What is to be said of one more object, and of those that wait for it."""
        known = self._by_ref.get(found.ref)
        if known:
            self._seen.add(known.id)
            yield from _judged(known, found)
        elif found.ref in self._sidecar_refs:
            self._seen.add(found.ref)
        elif same := self._by_name.get(found.name):
            yield from self._under_a_known_name(same, found)
        elif found.name.rpartition("/")[2] == RESTORE_TXT or self._is_a_known_sidecar(found):
            return
        elif is_object(found.name):
            yield from self._unknown(found)
        else:
            yield Found(Finding.FOREIGN, found.name, "it is nothing of Backupman's", object=found)

    def rest(self) -> Iterator[Found]:
        """What can be said at the end: what has not come, and what has come without its other half."""
        for known in self._records:
            if known.status == Status.FINISHED and known.id not in self._seen:
                yield Found(Finding.MISSING, known.name, "it is gone from the drive", known)
            elif known.status == Status.FINISHED and known.sidecar_ref and known.sidecar_ref not in self._seen:
                yield Found(Finding.BARE, known.name, "its sidecar is gone", known)
            elif known.status != Status.FAILED or known.waits or known.id in self._seen:
                continue
            elif known.session:
                yield Found(Finding.LEFTOVER, known.name, "an upload that has failed was not ended on the drive", known)
            elif known.id in self._elsewhere:
                yield Found(Finding.ABSENT, known.name, "its upload has failed, and another drive has the dump", known)
        for name, waiting in self._unpaired.items():
            if not self._is_half_of_another(name):
                reason = self._unreadable.get(name, "no sidecar says whose it is")
                yield Found(Finding.UNCLAIMED, name, reason, object=waiting)
        for name in self._sidecars:
            yield Found(Finding.UNCLAIMED, sidecar_name(name), "it is a sidecar, and its object is not there")

    def _is_a_known_sidecar(self, found: Object) -> bool:
        return found.name.removesuffix(".json") in self._by_name and found.name.endswith(".json")

    def _is_half_of_another(self, name: str) -> bool:
        """Whether it stands there as what cannot be read as the sidecar of another object that is there."""
        return name.endswith(".json") and name.removesuffix(".json") in self._unpaired

    def _under_a_known_name(self, known: Known, found: Object) -> Iterator[Found]:
        if known.status == Status.FAILED and not known.waits:
            self._seen.add(known.id)
            yield Found(Finding.LEFTOVER, known.name, "it is what an upload that has failed has left", known, found)
        # Of a pending one there is nothing to say yet. Where a drive has two objects of one name, the one on record
        # counts; if that is gone, putting it right finds this one.

    def _unknown(self, found: Object) -> Iterator[Found]:
        """An object or a sidecar that is not on record: said as soon as both have come."""
        name = found.name.removesuffix(".json")
        if found.sidecar is not None:
            try:
                self._sidecars[name] = Sidecar.parse(name, found.sidecar.encode()), found.ref
            except BackupmanError as error:
                self._unreadable[name] = error.sentence
                self._unpaired[found.name] = found
                name = found.name
        else:
            if found.unreadable:
                self._unreadable[name] = f"its sidecar cannot be read: {found.unreadable}"
            self._unpaired[found.name] = found
            name = found.name
        if name in self._unpaired and name in self._sidecars:
            sidecar, ref = self._sidecars.pop(name)
            yield self._whose(self._unpaired.pop(name), sidecar, ref)

    def _whose(self, found: Object, sidecar: Sidecar, ref: str) -> Found:
        if sidecar.instance not in self._instances:
            whose = f"it is of the instance {one_line(sidecar.instance, 100)!r}"
            return Found(Finding.FOREIGN, found.name, whose, object=found, sidecar=sidecar)
        reason = "its sidecar says that it is ours, and it is not on record"
        return Found(Finding.ORPHANED, found.name, reason, object=found, sidecar=sidecar, sidecar_ref=ref)


def _judged(known: Known, found: Object) -> Iterator[Found]:
    """A copy on record that is there: whether it is what was stored, as far as the drive knows."""
    if known.size is None:
        yield Found(Finding.UNREAD, known.name, "its size and checksum are not on record", known, found)
        return
    if found.size is not None and found.size != known.size:
        reason = f"it has {found.size:,} bytes, and {known.size:,} were stored"
    elif other := [name for name, value in found.checksums.items() if known.checksums.get(name, value) != value]:
        reason = f"its {other[0]} is not the one that was recorded"
    elif known.verify_error:
        reason = f"the last check of it: {known.verify_error}"
    else:
        return
    yield Found(Finding.ALTERED, known.name, reason, known, found)
