"""What came of comparing the records with what a drive holds, and the payload that tells it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import Field

from backupman.engine.comparing import MENDABLE, Finding, Found
from backupman.events import View
from backupman.text import listed

_TOLD = 1000
"""How many findings are listed; the numbers count all."""

_LACKING = (Finding.MISSING, Finding.ALTERED, Finding.BARE)
"""What makes a copy on record one that is not right."""

_ADDED = (Finding.ABSENT, Finding.ORPHANED)
"""What adds a copy to those that are right once it is mended."""

_WORDS = {
    Finding.MISSING: "missing",
    Finding.ALTERED: "altered",
    Finding.BARE: "without sidecar",
    Finding.LEFTOVER: "left over",
    Finding.ORPHANED: "not on record",
}


@dataclass
class Item:
    """One finding, and what was done about it: `mended` says it in words."""

    found: Found
    mended: str | None = None
    error: str | None = None


@dataclass
class Review:
    """What came of one drive. `right` copies are on record and there, at the end."""

    drive: str
    right: int = 0
    items: list[Item] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    """Those of them that were not mended."""
    others: Counter[str] = field(default_factory=Counter)
    """How many objects are another instance's, by its name."""
    failed: int = 0
    unlisted: str | None = None
    error: str | None = None

    def tell(self, item: Item) -> None:
        """One more finding."""
        self.counts[item.found.kind] += 1
        self.left[item.found.kind] += not item.mended
        if item.found.kind == Finding.FOREIGN and item.found.sidecar:
            self.others[item.found.sidecar.instance] += 1
        if item.found.kind in _LACKING:
            self.right -= not item.mended
        else:
            self.right += bool(item.mended and item.found.kind in _ADDED)
        self.failed += bool((item.found.wrong or item.error) and not item.mended)
        if self.counts[item.found.kind] <= _TOLD:
            self.items.append(item)

    @property
    def mended(self) -> int:
        """How many were put right."""
        return self.counts.total() - self.left.total()

    @property
    def mendable(self) -> bool:
        """Whether something is left that could be put right."""
        return any(self.left[kind] for kind in MENDABLE)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong any more."""
        return self.error is None and not self.failed


def only_of_others(reviews: Sequence[Review]) -> Counter[str]:
    """Whose objects the drives hold, where none is ours or on record: on a fresh host of another name, for example."""
    ours = any(review.right or review.counts.keys() - {Finding.FOREIGN, Finding.UNCLAIMED} for review in reviews)
    return Counter() if ours else sum((review.others for review in reviews), Counter[str]())


class ReconciledObject(View):
    """An object in a `reconcile_report`."""

    finding: str = Field(
        description="`missing`, `altered`, `bare`, `leftover`, `absent`, `unread`, `orphaned`, `unclaimed` or "
        "`foreign`; see docs/reconcile.md."
    )
    object: str = Field(description="Its name on the drive.")
    backup_id: str | None = Field(description="Of the record, or of the sidecar.")
    instance: str | None = Field(description="Whose it is, where a sidecar says so.")
    reason: str = Field(description="What is the matter.")
    mended: str | None = Field(description="What was done about it.")
    error: str | None = Field(description="Why nothing could be done.")

    @classmethod
    def about(cls, item: Item) -> "ReconciledObject":
        """What came of one finding."""
        found = item.found
        return cls(
            finding=found.kind,
            object=found.name,
            backup_id=found.known.backup_id if found.known else found.sidecar.id if found.sidecar else None,
            instance=found.sidecar.instance if found.sidecar else None,
            reason=found.reason,
            mended=item.mended,
            error=item.error,
        )


class ReconcileReport(View):
    """The payload of `reconcile_report`: how the records and what a drive holds fit together."""

    label: str = Field(description="The drive's label.")
    job: str = Field(description="`reconcile`.")
    drive: str
    instance: str
    right: int = Field(description="Copies that are on record and there.")
    missing: int
    altered: int
    bare: int
    leftover: int
    absent: int
    unread: int
    orphaned: int
    unclaimed: int
    foreign: int
    mended: int
    failed: int = Field(description="What is wrong and was not mended.")
    error: str | None = Field(description="Why the drive could not be looked at.")
    objects: list[ReconciledObject] = Field(description="Up to 1,000 of each finding, without foreign ones.")
    reason: str = Field(description="All this in a sentence.")


JOB = "reconcile"
"""What stands in place of a job."""


def report_of(review: Review, instance: str) -> ReconcileReport:
    """The payload about one drive."""
    told = [item for item in review.items if item.found.kind != Finding.FOREIGN]
    return ReconcileReport(
        label=review.drive,
        job=JOB,
        drive=review.drive,
        instance=instance,
        right=review.right,
        **{kind.value: review.counts[kind] for kind in Finding},
        mended=review.mended,
        failed=review.failed,
        error=review.error,
        objects=[ReconciledObject.about(item) for item in told],
        reason=sentence(review),
    )


def sentence(review: Review) -> str:
    """What came of one drive."""
    if review.error:
        return f"{review.drive}: it could not be looked at: {review.error}"
    wrong = [f"{review.counts[kind]:,} {words}" for kind, words in _WORDS.items() if review.counts[kind]]
    right = f"{review.right:,} {'copy is' if review.right == 1 else 'copies are'} as recorded"
    if unread := review.counts[Finding.UNREAD]:
        right += f", {unread:,} of them not read before"
    if absent := review.left[Finding.ABSENT]:
        right += f"; of {absent:,} more the upload has failed"
    if not wrong:
        did = f"; {review.mended:,} put right now" if review.mended else ""
        return f"{review.drive}: {right}{did}"
    did = f"{review.mended:,} mended" if review.mended else "nothing was mended"
    return f"{review.drive}: {listed(wrong)}; {did}; {right}"
