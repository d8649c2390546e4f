"""What came of verifying copies, as events, the API and the command line tell it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from backupman.drills import DrillReport
from backupman.events import Time, View
from backupman.levels import Level
from backupman.records import Backup, DriveFile
from backupman.text import listed, size, span

_TOLD = 1000
"""How many copies a report lists; the numbers count all."""


@dataclass(frozen=True)
class Checked:
    """What came of one copy: `error` is None when it is good as far as `level` looks.

    Of one that is `unchecked` the error says why it could not be looked at; whether it is good is not known.
    """

    backup: Backup
    file: DriveFile
    level: Level
    error: str | None
    seconds: float
    drill: DrillReport | None = None
    unchecked: bool = False

    @property
    def bad(self) -> bool:
        """Whether something is wrong with the copy itself."""
        return self.error is not None and not self.unchecked


class VerifiedCopy(View):
    """A copy in a `verify_success` or `verify_failure`."""

    backup_id: str
    database: str
    drive: str
    path: str | None
    size: int | None = Field(description="Bytes as they were stored.")
    created_at: Time = Field(description="When its backup was begun.")
    level: Level = Field(description="How far it was looked at.")
    good: bool = Field(description="Whether it is good as far as that.")
    unchecked: bool = Field(default=False, description="Whether it could not be looked at, and may be good.")
    error: str | None = Field(description="What is wrong with it, or why it could not be looked at.")
    seconds: float = Field(description="How long that took.")
    drill: DrillReport | None = Field(default=None, description="What a drill found.")

    @classmethod
    def about(cls, checked: Checked) -> "VerifiedCopy":
        """What came of one copy."""
        return cls(
            backup_id=checked.backup.id,
            database=checked.backup.database,
            drive=checked.file.label,
            path=checked.file.path,
            size=checked.file.size,
            created_at=checked.backup.created_at,
            level=checked.level,
            good=checked.error is None,
            unchecked=checked.unchecked,
            error=checked.error,
            seconds=round(checked.seconds, 3),
            drill=checked.drill,
        )


class VerifyReport(View):
    """The payload of `verify_success` and `verify_failure`: what came of looking at copies of one source."""

    label: str
    job: str
    source: str
    instance: str
    level: Level = Field(description="`checksum`: every byte; `structure`: the whole archive; `restore`: a drill.")
    good: int
    bad: int
    unchecked: int = Field(default=0, description="Copies that could not be looked at, and may be good.")
    still_bad: int = Field(
        default=0, description="Copies that an earlier look found bad, and that this one has not found right."
    )
    copies: list[VerifiedCopy] = Field(description="Those that are not good first, up to 1,000.")
    rto_seconds: float | None = Field(default=None, description="Of drills: how long the longest restore took.")
    rpo_seconds: float | None = Field(default=None, description="Of drills: the age of the newest row found.")
    reason: str = Field(description="All this in a sentence.")

    def beside(self, still_bad: int) -> "VerifyReport":
        """The same, where so many copies of the source were bad before and have not been found right."""
        if still_bad <= 0:
            return self
        copies = "1 copy is" if still_bad == 1 else f"{still_bad} copies are"
        reason = f"{self.reason}; {copies} still bad since an earlier look: see `backupman list`"
        return self.model_copy(update={"still_bad": still_bad, "reason": reason})


class Tally:
    """Counts the copies of one source, of which only as many are remembered as a report lists."""

    def __init__(self) -> None:
        self._good: list[Checked] = []
        self._not_good: list[Checked] = []
        self._counts: Counter[str] = Counter()
        self._read = 0
        self._rto: list[float] = []
        self._rpo: list[float] = []

    def add(self, checked: Checked) -> None:
        """One more copy."""
        good = checked.error is None
        self._counts["good" if good else "bad" if checked.bad else "unchecked"] += 1
        listed_so_far = self._good if good else self._not_good
        if len(listed_so_far) < _TOLD:
            listed_so_far.append(checked)
        if good:
            self._read += checked.file.size or 0
        if checked.drill:
            self._rto.append(checked.drill.restore_seconds)
            if checked.drill.newest_age_seconds is not None:
                self._rpo.append(checked.drill.newest_age_seconds)

    def report(self, instance: str) -> VerifyReport | None:
        """All of it; None where there was no copy."""
        copies = [*sorted(self._not_good, key=lambda checked: checked.unchecked), *self._good][:_TOLD]
        if not copies:
            return None
        backup, level = copies[0].backup, copies[0].level
        rto, rpo = max(self._rto, default=None), min(self._rpo, default=None)
        return VerifyReport(
            label=backup.source,
            job=backup.job,
            source=backup.source,
            instance=instance,
            level=level,
            good=self._counts["good"],
            bad=self._counts["bad"],
            unchecked=self._counts["unchecked"],
            copies=[VerifiedCopy.about(checked) for checked in copies],
            rto_seconds=rto,
            rpo_seconds=rpo,
            reason="; ".join(self._sentences(backup.source, level, rto, rpo)),
        )

    def _sentences(self, source: str, level: Level, rto: float | None, rpo: float | None) -> Sequence[str]:
        done = {"checksum": "read back", "structure": "read through", "restore": "restored in drills"}[level]
        words = {"good": f"good ({size(self._read)})", "bad": "bad", "unchecked": "could not be looked at"}
        counts = [f"{self._counts[what]} {said}" for what, said in words.items() if self._counts[what]]
        said = [f"{source}: copies {done}: {listed(counts)}"]
        if rto is not None:
            said.append(f"the restore took {span(rto)}")
        if rpo is not None:
            said.append(f"the newest row was {span(rpo)} old")
        return [*said, *(checked.error or "" for checked in self._not_good[:3])]
