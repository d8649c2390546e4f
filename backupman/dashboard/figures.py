"""Pictures in a page: the bar of the last runs and the trend of sizes, as paths of SVG, a few hundred bytes each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from backupman.records import Status
from backupman.store.statistics import Past

RUNS = 60
STEP = 4
HEIGHT = 22
_SHAPES = {
    "warn": "M{x} 11V20M{x} 2V7",  # a bar with a gap
    "bad": "M{x} 14V20M{x} 8V9",  # a stub with a dot above
    "pending": "M{left} 20V11H{right}V20Z",  # an empty box
}
_WORDS = {"ok": "good", "warn": "with a warning", "bad": "failed", "pending": "under way"}
_WIDE, _HIGH, _SIZES = 120, 28, 30


@dataclass(frozen=True)
class Strip:
    """The bar of runs, the newest at the right: a path for each kind of outcome, and all of it in words."""

    paths: dict[str, str]
    words: str
    width: int = RUNS * STEP
    height: int = HEIGHT


@dataclass(frozen=True)
class Trend:
    """Sizes as a line above zero."""

    line: str
    words: str
    width: int = _WIDE
    height: int = _HIGH


def outcome(past: Past) -> str:
    """Which of the four outcomes a run has: ok, warn, bad or pending."""
    if past.status == Status.FINISHED:
        return "warn" if past.warning else "ok"
    return "bad" if past.status == Status.FAILED else "pending"


def strip(runs: Sequence[Past]) -> Strip:
    """The picture of runs that are given the newest first."""
    paths: dict[str, str] = {}
    kinds = [outcome(past) for past in runs[:RUNS]]
    begin = (RUNS - len(kinds)) * STEP
    if begin:
        paths["none"] = f"M2 20H{begin}"  # dots, as the stylesheet dashes it
    for kind, alike in groupby(enumerate(reversed(kinds)), key=lambda each: each[1]):
        places = [begin + place * STEP for place, _ in alike]
        if kind == "ok":  # whole bars, as the stylesheet dashes one broad line
            drawn = f"M{places[0] + 0.8:g} 11h{len(places) * STEP - 1.6:g}"
        else:
            drawn = "".join(_SHAPES[kind].format(x=x + 2, left=x + 1, right=x + 3) for x in places)
        paths[kind] = paths.get(kind, "") + drawn
    return Strip(paths, _told(kinds))


def trend(runs: Sequence[Past]) -> Trend | None:
    """The picture of the sizes of runs that are given the newest first; none with fewer than two sizes."""
    good = [past.stored_size for past in runs if past.status == Status.FINISHED and past.stored_size][:_SIZES]
    if len(good) < 2:
        return None
    return Trend(_line(good[::-1]), f"sizes of the last {len(good)} good backups")


def by_day(sizes: Sequence[int]) -> Trend | None:
    """The picture of the bytes of each day, the oldest first; none when there were none."""
    return Trend(_line(sizes), f"bytes a day in the last {len(sizes)} days") if any(sizes) else None


def _line(sizes: Sequence[int]) -> str:
    """Two sizes or more, one above zero, as a line."""
    step, scale = (_WIDE - 4) / (len(sizes) - 1), (_HIGH - 6) / max(sizes)
    return "M" + " ".join(f"{2 + place * step:.0f} {_HIGH - 2 - size * scale:.1f}" for place, size in enumerate(sizes))


def _told(kinds: Sequence[str]) -> str:
    if not kinds:
        return "no run yet"
    counts = Counter(kinds)
    told = ", ".join(f"{counts[kind]} {_WORDS[kind]}" for kind in _WORDS if counts[kind])
    return f"the last {len(kinds)} runs: {told}" if len(kinds) > 1 else f"one run: {_WORDS[kinds[0]]}"
