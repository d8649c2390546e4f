"""Which copies are kept and which go, and why: rules over the finished copies of a database on a drive.

Everything here is pure. A copy stays when any rule keeps it; each (source, database, drive) is judged by itself. The
newest copy never goes, nor the last that a drill has proved, nor one that is pinned, nor one whose time lies ahead;
and nothing goes while newer backups keep failing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import groupby
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backupman.registry import Duration, Settings, Size, format_duration
from backupman.text import size as in_words

Count = Annotated[int, Field(ge=1)]
PositiveSpan = Annotated[Duration, Field(gt=timedelta())]
AHEAD = timedelta(minutes=5)
"""How far clocks may differ before a copy counts as made by one that was ahead."""
_DAYS = 30
_PAUSE = 2
"""Backups that lie so many times the age apart have paused."""

_NEWEST = "the newest"
_SOUND = "the newest that is not known to be bad"
_PROVED = "proved by a drill"

_PERIODS: dict[str, Callable[[datetime], str]] = {
    "hourly": lambda time: f"{time:%Y-%m-%d %H}:00 {time:%Z}".strip(),
    "daily": lambda time: f"{time:%Y-%m-%d}",
    "weekly": lambda time: f"{time:%G-W%V}",
    "monthly": lambda time: f"{time:%Y-%m}",
    "yearly": lambda time: f"{time:%Y}",
}
"""The name of the hour, day, ISO week, month or year that a local time is in."""


class Retention(Settings):
    """Which finished backups are kept."""

    enabled: bool = Field(default=True, description="`false` keeps everything.")
    by: Literal["age"] | None = Field(default=None, description="The rule of `value`; default where there is no other.")
    value: int | None = Field(default=None, le=36_525, description="Days that a backup is kept; default 30.")
    keep_within: PositiveSpan | None = Field(default=None, description="Keep all that are younger.")
    keep_last: Count | None = Field(default=None, description="Keep so many of the newest.")
    keep_hourly: Count | None = Field(default=None, description="Keep the newest of each of so many hours.")
    keep_daily: Count | None = Field(default=None, description="Keep the newest of each of so many days.")
    keep_weekly: Count | None = Field(default=None, description="Keep the newest of each of so many weeks.")
    keep_monthly: Count | None = Field(default=None, description="Keep the newest of each of so many months.")
    keep_yearly: Count | None = Field(default=None, description="Keep the newest of each of so many years.")
    keep_proved: int = Field(
        default=1, ge=0, description="So many of the newest that a drill has proved never go, whatever the rules say."
    )
    max_total_size: Size | None = Field(
        default=None, gt=0, description="Bytes that the copies of a database may take on a drive; the oldest go first."
    )
    trash_for: Duration = Field(
        default=timedelta(),
        description="How long a copy is only marked before it is deleted; until then it can be kept.",
    )

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        if self.enabled and self.value is not None and self.value < 1:
            raise ValueError("value should be at least 1 day; to keep everything, write enabled: false")
        return self

    def within(self) -> timedelta | None:
        """How old a copy may be in any case; nothing when no rule asks for an age."""
        others = self.keep_within or self.keep_last or self.max_total_size or any(self.counted())
        by_age = timedelta(days=self.value or _DAYS) if self.by or self.value or not others else None
        return max(filter(None, (by_age, self.keep_within)), default=None)

    def counted(self) -> Iterator[tuple[str, int]]:
        """The periods of which copies are kept, with their number."""
        for name in _PERIODS:
            if count := getattr(self, f"keep_{name}"):
                yield name, count

    @property
    def by_size_alone(self) -> bool:
        """Whether everything is kept that has room."""
        return bool(self.max_total_size and not (self.within() or self.keep_last or any(self.counted())))


@dataclass(frozen=True)
class Copy:
    """One finished copy: `size` in bytes, times aware."""

    id: str
    source: str
    database: str
    drive: str
    created_at: datetime
    size: int
    pinned_until: datetime | None = None
    proved_at: datetime | None = None
    """When a drill has last restored it and found all that should be there."""
    doubtful: bool = False
    """Whether it was not right, or could not be checked, the last time that somebody looked."""

    @property
    def place(self) -> tuple[str, str, str]:
        """What is judged by itself."""
        return self.source, self.database, self.drive


@dataclass(frozen=True)
class Verdict:
    """What becomes of a copy, and why in a few words."""

    copy: Copy
    keep: bool
    reason: str


def judge(
    copies: Iterable[Copy],
    rules: Retention,
    at: datetime,
    zone: tzinfo,
    failing: Collection[tuple[str, str]] = (),
) -> list[Verdict]:
    """What becomes of each copy, by place and the newest first.

    Periods are those of `zone`. `failing` are the (source, database) whose newest backup has failed.
    """
    newest_first = sorted(copies, key=lambda copy: (copy.created_at, copy.id), reverse=True)
    verdicts: list[Verdict] = []
    for place, group in groupby(sorted(newest_first, key=lambda copy: copy.place), key=lambda copy: copy.place):
        found = _Group(list(group), rules, at, zone).verdicts()
        if place[:2] in failing:
            found = [v if v.keep else Verdict(v.copy, True, "newer backups keep failing") for v in found]
        verdicts += found
    return verdicts


class _Group:
    """The copies of one database on one drive, the newest first."""

    def __init__(self, copies: list[Copy], rules: Retention, at: datetime, zone: tzinfo) -> None:
        self._copies = copies
        self._rules = rules
        self._at = at
        self._zone = zone

    def verdicts(self) -> list[Verdict]:
        never = self._never_removed()
        kept = {**self._kept(never), **never}
        too_much = self._too_much(kept, never)
        return [self._verdict(copy, kept.get(copy.id), copy.id in too_much) for copy in self._copies]

    def _verdict(self, copy: Copy, reason: str | None, too_much: bool) -> Verdict:
        if too_much and self._rules.max_total_size:
            return Verdict(copy, False, f"all together are larger than {in_words(self._rules.max_total_size)}")
        if reason:
            return Verdict(copy, True, reason)
        within = self._rules.within()
        only_age = within and not self._rules.keep_last and not any(self._rules.counted())
        return Verdict(
            copy, False, f"older than {format_duration(within)}" if within and only_age else "no rule keeps it"
        )

    def _never_removed(self) -> dict[str, str]:
        """By id, why a copy stays whatever the rules say."""
        found: dict[str, str] = {}
        ahead = self._at + AHEAD
        past = [copy for copy in self._copies if copy.created_at <= ahead]
        for copy in past[:1]:
            found[copy.id] = _NEWEST
        for copy in [copy for copy in past if not copy.doubtful][:1]:
            found.setdefault(copy.id, _SOUND)
        for copy in self._proved():
            found.setdefault(copy.id, _PROVED)
        for copy in self._copies:
            if copy.created_at > ahead:
                found[copy.id] = "its time lies ahead"
            elif copy.pinned_until and copy.pinned_until > self._at:
                found[copy.id] = "pinned" + _until(copy.pinned_until, self._zone)
        return found

    def _proved(self) -> list[Copy]:
        """The last that a drill has proved; where one is doubtful since, the last that are not stay as well."""
        proved = [copy for copy in self._copies if copy.proved_at]
        sound = [copy for copy in proved if not copy.doubtful]
        count = self._rules.keep_proved
        return [*sound[:count], *proved[:count]]

    def _kept(self, never: dict[str, str]) -> dict[str, str]:
        """By id, why the rules keep a copy; neither a pinned one nor one of the future uses up a number."""
        counting = [copy for copy in self._copies if never.get(copy.id) in (None, _NEWEST, _SOUND, _PROVED)]
        found: dict[str, str] = {}
        if self._rules.by_size_alone:
            return {copy.id: f"there is room in {in_words(self._rules.max_total_size or 0)}" for copy in counting}
        if within := self._rules.within():
            for copy in counting:
                if self._at - copy.created_at <= within:
                    found.setdefault(copy.id, f"younger than {format_duration(within)}")
            for copy in self._before_a_pause(counting, within):
                found.setdefault(copy.id, f"it was younger than {format_duration(within)} before a long pause")
        for number, copy in enumerate(counting[: self._rules.keep_last or 0], start=1):
            found.setdefault(copy.id, f"last {number} of {self._rules.keep_last}")
        for name, count in self._rules.counted():
            newest: dict[str, Copy] = {}
            for copy in counting:
                newest.setdefault(_PERIODS[name](copy.created_at.astimezone(self._zone)), copy)
            for number, (period, copy) in enumerate(list(newest.items())[:count], start=1):
                found.setdefault(copy.id, f"{name} {number} of {count} ({period})")
        return found

    def _before_a_pause(self, counting: list[Copy], within: timedelta) -> Iterator[Copy]:
        """Those that were young when the backups paused, until the first one after that is as old.

        The clock may have leapt; or a machine comes back, and what it backs up now is not what somebody will look for.
        """
        for after, before, earlier in zip(counting, counting[1:], counting[2:], strict=False):
            if self._at - after.created_at >= within:
                return
            frequent = before.created_at - earlier.created_at <= within
            if frequent and after.created_at - before.created_at > _PAUSE * within:
                oldest = before.created_at - within
                yield from (copy for copy in counting if oldest <= copy.created_at <= before.created_at)

    def _too_much(self, kept: Collection[str], never: Collection[str]) -> set[str]:
        """The ids of the oldest kept copies that must go for the size, as far as they may."""
        limit = self._rules.max_total_size
        staying = [copy for copy in self._copies if copy.id in kept]
        total, found = sum(copy.size for copy in staying), set()
        for copy in reversed(staying):
            if limit is None or total <= limit:
                break
            if copy.id not in never:
                found.add(copy.id)
                total -= copy.size
        return found


def beyond(verdicts: Iterable[Verdict], rules: Retention) -> list[str]:
    """A sentence for each place that stays above `max_total_size`, because what is left may not go."""
    limit, found = rules.max_total_size, []
    for (source, database, drive), group in groupby(verdicts, key=lambda verdict: verdict.copy.place):
        staying = [verdict for verdict in group if verdict.keep]
        total = sum(verdict.copy.size for verdict in staying)
        if limit is not None and total > limit:
            name = source if database == source else f"{source}/{database}"
            found.append(
                f"{name} takes {in_words(total)} on {drive}, more than max_total_size of {in_words(limit)}: "
                f"what is left may not be removed ({', '.join(dict.fromkeys(each.reason for each in staying))})"
            )
    return found


def _until(time: datetime, zone: tzinfo) -> str:
    return "" if time.year >= FOR_EVER.year - 1 else f" until {time.astimezone(zone):%Y-%m-%d %H:%M}"


FOR_EVER = datetime.fromisoformat("9999-12-31T00:00:00+00:00")
"""The end of a pin that has none."""
