"""One true sentence of how everything stands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backupman.dashboard.standing import Row
from backupman.dashboard.words import age
from backupman.events import EventKind
from backupman.records import Status, now

_HOURS_TOLD = 48


@dataclass(frozen=True)
class Sentence:
    """How everything stands, in a sentence that is true: `tone` is ok, warn, bad or none."""

    tone: str
    text: str
    more: str = ""
    also: str = ""


def sentence(found: Sequence[Row], at: datetime | None = None) -> Sentence:
    """The sentence on top."""
    at = at or now()
    bad = [row for row in found if row.alarming]
    silent = [row for row in found if not row.last]
    if len(bad) > 1:
        return Sentence("bad", f"{len(bad)} of {len(found)} need attention", _few([row.label for row in bad]))
    if bad:
        return _bad(bad[0], at)
    if len(silent) == len(found):
        return Sentence("none", "No backup has been made yet")
    if silent:
        return Sentence(
            "warn", f"{len(silent)} of {len(found)} have no backup yet", _few([row.label for row in silent])
        )
    own = [row for row in found if row.series.sender is None]
    others = f"{_jobs_told(len(found) - len(own))} good, too" if len(found) > len(own) else ""
    if own and all(row.proven for row in own):
        oldest = max(at - row.proven.created_at for row in own if row.proven)
        return Sentence("ok", f"{_all(own)} a proven copy younger than {_bound(oldest)}", others)
    oldest = max(at - row.good.created_at for row in found if row.good)
    return Sentence("ok", f"{_all(found)} a good backup younger than {_bound(oldest)}", _tried(own))


def _tried(own: Sequence[Row]) -> str:
    """How much of it was tried."""
    read, proven = sum(bool(row.read) for row in own), sum(bool(row.proven) for row in own)
    if not own:
        return ""
    if proven:
        return f"{proven} of {len(own)} proven by a drill, {read} read back"
    return f"{read} of {len(own)} read back, none proven by a drill" if read else "no copy was ever read back"


def _bad(row: Row, at: datetime) -> Sentence:
    old = age(at - row.good.created_at) if row.good else ""
    if any(incident.kind != EventKind.SIZE_ANOMALY for incident in row.incidents):
        return Sentence("bad", f"{row.label} has had no good backup {f'for {old}' if old else 'yet'}")
    if not (row.last and row.last.status == Status.FAILED):
        return _damaged(row, at)
    newest = f"its newest good one is {old} old" if old else "it has no good one"
    return Sentence("bad", f"The last backup of {row.label} failed; {newest}")


def _damaged(row: Row, at: datetime) -> Sentence:
    made = next(past for past in row.runs if any(copy.is_bad for copy in past.copies))
    bad = [copy.drive for copy in made.copies if copy.is_bad]
    ago = f"it was made {age(at - made.created_at)} ago"
    if len(bad) > 1 and not any(copy.is_right for copy in made.copies):
        return Sentence("bad", f"All copies of the backup of {row.label} are damaged", ago)
    return Sentence("bad", f"A copy of the backup of {row.label} on {bad[0]} is damaged", ago)


def _all(found: Sequence[Row]) -> str:
    what = "databases" if all(row.series.sender is None for row in found) else "databases and jobs"
    return f"{found[0].label} has" if len(found) == 1 else f"All {len(found)} {what} have"


def _jobs_told(count: int) -> str:
    return "the job of another machine is" if count == 1 else f"the {count} jobs of other machines are"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _bound(past: timedelta) -> str:
    """A round span that is longer: `1 h`, `24 h`, `3 days`."""
    hours = max(1, math.ceil(past / timedelta(hours=1)))
    return f"{hours} h" if hours <= _HOURS_TOLD else f"{math.ceil(hours / 24)} days"
