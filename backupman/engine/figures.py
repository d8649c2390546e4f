"""What `run --stats` and `run --list` add to the log of a backup: figures, and what is in it."""

from collections.abc import Iterator
from dataclasses import dataclass

from backupman.data_plane.messages import Dumped, Uploaded
from backupman.text import size

_MOST = 1_000
"""Tables that are listed; half of what is kept of a log."""


@dataclass(frozen=True)
class Asked:
    """What was asked for."""

    stats: bool = False
    listing: bool = False

    def of_dump(self, dumped: Dumped) -> Iterator[str]:
        """About a dump: how fast it came, what the pipeline made of it, by which versions; and its tables."""
        if self.stats:
            yield f"{size(dumped.size)} at {_speed(dumped.size, dumped.seconds)}, {_packed(dumped)}"
            if dumped.facts:
                yield "made by " + ", ".join(f"{name} {value}" for name, value in dumped.facts.items())
        if self.listing and dumped.manifest:
            for table in dumped.manifest.tables[:_MOST]:
                rows = "rows not counted" if table.rows is None else f"{table.rows:,} row{'s' * (table.rows != 1)}"
                yield f"{table.name}, {'' if table.exact or table.rows is None else 'about '}{rows}"
            if (more := len(dumped.manifest.tables) - _MOST) > 0:
                yield f"and {more:,} more tables"

    def of_upload(self, uploaded: Uploaded) -> Iterator[str]:
        """About a copy: how fast it went, and where it is."""
        if self.stats:
            tries = f" in {uploaded.attempts} tries" if uploaded.attempts > 1 else ""
            yield f"{uploaded.label}: {size(uploaded.size)} at {_speed(uploaded.size, uploaded.seconds)}{tries}"
        if self.listing:
            sums = "".join(f", {name} {value}" for name, value in uploaded.checksums.items())
            yield f"{uploaded.label}: {uploaded.ref}{sums}"


def _speed(count: int, seconds: float) -> str:
    return f"{size(round(count / max(seconds, 0.001)))}/s"


def _packed(dumped: Dumped) -> str:
    if not dumped.size:
        return f"{size(dumped.stored_size)} to store"
    return f"{size(dumped.stored_size)} to store, which is {dumped.stored_size / dumped.size:.1%} of it"
