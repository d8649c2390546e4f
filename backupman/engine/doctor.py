"""The doctor: would the next backups be made and kept, could they be restored, and would somebody be told if not?"""

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from backupman.config import Config, JobPlan, Loaded, plans
from backupman.engine.counsel import of_alarms, of_jobs, of_keeping, of_proofs, of_workers
from backupman.engine.disks import deaf_scheduler
from backupman.engine.findings import AREAS, Finding, advice, good, problem
from backupman.engine.side_by_side import Seen, look_at, look_at_all
from backupman.engine.spools import Spools
from backupman.errors import StoreError
from backupman.records import Backup, Kind, Status, now
from backupman.sources import Source
from backupman.sources._landlock import works as landlock_works
from backupman.store import Store
from backupman.store.backups import BackupFilter
from backupman.text import listed, minute, size

_SKEW = timedelta(minutes=2)
_TIME_ERROR = 5
"""What adjtimex(2) answers while the clock is not synchronized."""


def examine(loaded: Loaded, timeout: timedelta, clock: Callable[[], datetime] = now) -> list[Finding]:
    """Everything that there is to find; each look at a source or drive is given up after `timeout`."""
    config, at = loaded.config, clock()
    jobs = plans(config)
    found = [advice("config", "", sentence) for sentence in loaded.warnings]
    found += _reached(config, timeout)
    found += of_keeping(jobs)
    try:
        with closing(Store.open(config.database.address(config.state_folder))) as store:
            found += [good("records", "", "they can be read and written")]
            found += _disk(config, jobs, store)
            found += _clock(store, at)
            found += of_jobs(config, jobs, store, at)
            found += of_workers(config, jobs, store)
            found += of_alarms(config, jobs, store, at)
            found += of_proofs(store, jobs, at)
            found += _drills(config)
    except StoreError as error:
        found.append(problem("records", "", error.sentence))
    return sorted(found, key=lambda finding: AREAS.index(finding.area))


def _reached(config: Config, timeout: timedelta) -> Iterator[Finding]:
    """Sources and drives, each in a child: what they can do, and what they lack for it."""
    named = _named(config.data_sources)
    looks = [
        look_at("sources", source.label, source, thorough=True, named=named.get(source.label))
        for source in config.data_sources
    ]
    looks += [look_at("drives", drive.label, drive) for drive in config.drives]
    seen = look_at_all(looks, timeout)
    count = len(config.data_sources)
    for source, one in zip(config.data_sources, seen[:count], strict=True):
        yield from _seen("sources", source.label, one, "it can be dumped whole")
    for drive, one in zip(config.drives, seen[count:], strict=True):
        yield from _seen("drives", drive.label, one, "it takes objects and lets them go")


def _named(sources: Sequence[Source]) -> dict[str, list[str]]:
    """The databases that are named on each server, by the label of its first source; not where one takes all."""
    servers: dict[str, list[Source]] = {}
    for source in sources:
        if source.server:
            servers.setdefault(source.server, []).append(source)
    return {
        beside[0].label: [name for source in beside for name in source.named or ()]
        for beside in servers.values()
        if all(source.named is not None for source in beside)
    }


def _seen(area: str, label: str, seen: Seen, fine: str) -> Iterator[Finding]:
    if seen.error:
        yield problem(area, label, seen.error.removeprefix(f"{label}: "))
        return
    yield from (advice(area, label, remark.removeprefix(f"{label}: ")) for remark in seen.remarks)
    if not seen.remarks:
        yield good(area, label, fine)


def _drills(config: Config) -> Iterator[Finding]:
    """Whether the throwaway servers that drills make are kept away from the files of this machine."""
    made = any(source.restores and source.server and not source.scratch_server for source in config.data_sources)
    if made and not landlock_works():
        yield advice(
            "proofs",
            "",
            "a program that a dump starts in a drill's server reads what its account may read, as the kernel offers no "
            "Landlock here: take Linux 5.19 or newer, with landlock in /sys/kernel/security/lsm, or name a "
            "scratch_server for databases in which people make functions whom you do not trust that far",
        )


def _disk(config: Config, jobs: Sequence[JobPlan], store: Store) -> Iterator[Finding]:
    """Whether the spool's disk has room for dumps like the last ones."""
    spools = Spools(config, store)
    needs: dict[Path, list[tuple[int, str]]] = {}
    for source in {source.label: source for job in jobs for source in job.sources}.values():
        spool = spools.path(source, "doctor")
        needs.setdefault(spool, []).extend(_largest(store, config.instance, source.label))
    for spool, dumps in needs.items():
        # not Path.exists, which raises where a folder may not be entered: whoever writes there says it
        folder = next(folder for folder in spool.parents if os.path.exists(folder))  # noqa: PTH110
        kept = spools.keep_free(spool)
        free = shutil.disk_usage(folder).free - kept
        at_once = sorted(dumps, reverse=True)[: config.max_parallel]
        need = sum(count for count, _ in at_once)
        about = str(spool.parent)
        if config.ionice and (deaf := deaf_scheduler(folder)):
            disk, scheduler = deaf
            yield advice(
                "disk",
                about,
                f"ionice does nothing there, as the I/O scheduler of {disk} is {scheduler}: choose another one by "
                f"`echo bfq > /sys/block/{disk}/queue/scheduler`, or set a bandwidth for the source",
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            yield problem(
                "disk",
                about,
                f"no dump can be made: the account may not write in {folder}: give it the right to (chown or chmod), "
                "or set spool.folder, or the source's tmp_folder, to another",
            )
        elif free <= 0:
            yield problem(
                "disk",
                about,
                f"no dump fits: {size(kept + free)} are free, and spool.min_free keeps {size(kept)} free; make room "
                "there, or set spool.folder to a larger disk",
            )
        elif need > free:
            whose = listed([label for _, label in at_once])
            yield problem(
                "disk",
                about,
                f"the last dumps of {whose} took {size(need)}, and {size(free)} are left above spool.min_free: "
                "make room there, or set spool.folder to a larger disk",
            )
        elif need * 2 > free:
            yield advice(
                "disk", about, f"dumps of twice the size would not fit: {size(free)} are left for {size(need)}"
            )
        else:
            last = f"; the last took {size(need)}" if need else ""
            yield good("disk", about, f"{size(free)} are left for dumps{last}")


def _largest(store: Store, instance: str, source: str) -> list[tuple[int, str]]:
    """The most bytes that one of the newest dumps of each database of a source took in the spool, and its label."""
    recent: Sequence[Backup] = store.backups.list(BackupFilter(source=source, kind=Kind.OWN), limit=50)
    found: dict[str, int] = {}
    for backup in recent:
        if backup.instance == instance and backup.dump_status == Status.FINISHED:
            found[backup.label] = max(found.get(backup.label, 0), backup.stored_size or 0)
    return [(most, label) for label, most in found.items()]


def _clock(store: Store, at: datetime) -> Iterator[Finding]:
    """Whether the time can be believed: schedules, retention and signatures hang on it."""
    newest = store.backups.list(limit=1)
    if newest and newest[0].created_at > at + _SKEW:
        yield problem(
            "clock",
            "",
            f"the newest backup on record was begun on {minute(newest[0].created_at)}, which is still to "
            "come: set this machine's clock",
        )
    elif not _is_synchronized():
        yield advice(
            "clock",
            "",
            "the system does not say that its clock is synchronized: let it follow a time server, for example by "
            "systemd-timesyncd or chrony",
        )
    else:
        yield good("clock", "", "it is synchronized")


def _is_synchronized() -> bool:
    """Whether the kernel says so (adjtimex(2)); where it cannot be asked, nothing is wrong that we know of."""
    try:
        request = ctypes.create_string_buffer(256)  # struct timex with modes = 0: only read
        return bool(ctypes.CDLL(None).adjtimex(request) != _TIME_ERROR)
    except (OSError, AttributeError):
        return True
