"""What the doctor says of the config and the records alone: nothing is connected to here."""

import fcntl
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote

from backupman import __version__
from backupman.config import Config, JobPlan
from backupman.engine.alarm_drills import Outcome
from backupman.engine.findings import Finding, advice, good, problem
from backupman.engine.reaching import reached
from backupman.engine.workers import WorkerState, fleet, has_fleet, state_of
from backupman.errors import PipelineError
from backupman.events import EventKind
from backupman.sources import Source
from backupman.store import Store
from backupman.store.backups import BackupFilter
from backupman.store.statistics import Past, Series, Shown
from backupman.text import few, listed, minute

_TOLD: dict[str, str] = {
    EventKind.BACKUP_LATE: "has had no good backup in time",
    EventKind.BACKUP_MISSED: "was not backed up when it was due",
    EventKind.BACKUP_STUCK: "has a backup that does not end",
    EventKind.SIZE_ANOMALY: "had a backup of an unusual size",
}

_LAST = 30
"""Of so many of its last backups a copy that is not right is told."""
_LOOKED_AT = 1000
_OLD = timedelta(days=30)
"""A proof that is older does not say much of the backups of today."""


def of_jobs(config: Config, jobs: Sequence[JobPlan], store: Store, at: datetime) -> Iterator[Finding]:
    """Whether everything is in a job, and whether somebody runs it."""
    scheduled = [job for job in jobs if job.schedule]
    for job in scheduled:
        assert job.schedule is not None  # noqa: S101 - they were chosen by it
        anchor = store.jobs.since(config.instance).get(job.label, at)
        due = next(iter(job.schedule.due(at, anchor)), None)
        if due is None:
            yield problem("jobs", job.label, f"{job.schedule_text} never comes: correct its cron")
        else:
            shown = due.astimezone(job.schedule.zone).strftime("%a %Y-%m-%d %H:%M %Z")
            yield good("jobs", job.label, f"runs next on {shown}")
    if not scheduled:
        yield advice(
            "jobs",
            "",
            "no job has a cron or an interval: backups are made only when somebody calls `backupman run`, for example "
            "by cron; nobody is told when that does not happen",
        )
    elif not _is_served(config.state_folder):
        yield problem(
            "jobs",
            "",
            f"no daemon serves from {config.state_folder}, so no job runs by itself: start it, for example with "
            "`systemctl start backupman`",
        )
    yield from _unreadable_keys(config, jobs)
    in_a_job = {source.label for job in jobs for source in job.sources}
    for source in config.data_sources:
        if source.label not in in_a_job:
            yield problem("jobs", source.label, "it is in no job, so it is never backed up: name it in one")
    for incident in store.jobs.open_incidents(config.instance):
        if incident.kind not in _TOLD:  # of an alarm drill
            continue
        whose = "/".join(filter(None, (incident.source, incident.database)))
        said = f"{_TOLD[incident.kind]} since {minute(incident.due_at)}"
        yield problem("jobs", whose, f"it {said}: see `backupman list`")


def _unreadable_keys(config: Config, jobs: Sequence[JobPlan]) -> Iterator[Finding]:
    """Jobs that cannot encrypt; where workers dump, each reads the file of its own host."""
    for job in jobs if not has_fleet(config) else ():
        try:
            if job.pipeline.encryption:
                job.pipeline.encryption.check()
        except PipelineError as error:
            yield problem("jobs", job.label, f"none of its backups can be encrypted, so each fails: {error.sentence}")


def of_workers(config: Config, jobs: Sequence[JobPlan], store: Store) -> Iterator[Finding]:
    """Where work is handed to workers: whether somebody takes from every queue that it would wait in."""
    if not has_fleet(config):
        return
    found = fleet(store, config.instance)
    for name, what in _handed_out(config, jobs).items():
        queue = found.queue(name)
        if queue.workers:
            hosts = sorted({worker.host for worker in queue.workers})
            yield good("workers", name, f"{few(hosts)} take{'s' if len(hosts) == 1 else ''} from this queue")
        else:
            yield problem(
                "workers",
                name,
                "no living worker takes from this queue, so nobody does what waits in it for "
                f"{few(what)}: {queue.remedy}",
            )
    for each in found.workers:
        worker = each.worker
        if state_of(each) == WorkerState.LOST:
            yield advice(
                "workers",
                worker.host,
                f"nothing is heard of it since {minute(worker.heard_at)}, and nobody has stopped it: look at its host",
            )
        elif each.lives and worker.version != __version__:
            yield advice(
                "workers",
                worker.host,
                f"it runs Backupman {worker.version}, and this host {__version__}: upgrade both to the same, as one "
                "may not know what the other asks of it",
            )


def _handed_out(config: Config, jobs: Sequence[JobPlan]) -> dict[str, list[str]]:
    """What would wait in which queue."""
    found: dict[str, dict[str, None]] = {}
    for job in jobs:
        for source in job.sources:
            found.setdefault(job.queue_of(source), {})[source.label] = None
            if job.verify_schedule:
                found.setdefault(job.verify_queue_of(source), {})[source.label] = None
    for block in config.all_notifiers():
        if block.enabled and block.queue:
            found.setdefault(block.queue, {})[f"messages of {block.named()}"] = None
    return {queue: list(what) for queue, what in found.items()}


def of_alarms(config: Config, jobs: Sequence[JobPlan], store: Store, at: datetime) -> Iterator[Finding]:
    """Whether somebody is told of failures, and is reached."""
    if not any(block.enabled for block in config.all_notifiers()):
        yield problem("alarms", "", "nobody is told of anything: add a notifier, for example mail")
        return
    failures = {EventKind.BACKUP_REPORT, EventKind.BACKUP_FAILURE}
    for job in jobs:
        if not any(failures & set(endpoint.events) for endpoint in job.endpoints):
            yield problem("alarms", job.label, "nobody is told when its backups fail: name a notifier in the job")
    for each in reached(config, store, at):
        if each.given_up:
            yield problem(
                "alarms",
                each.endpoint,
                f"{each.given_up} of its messages could not be delivered and were given up: see `backupman deliveries "
                "list --state failed`",
            )
        if each.result.outcome == Outcome.FAILED:
            yield problem("alarms", each.endpoint, f"the last alarm drill did not arrive: {each.result.said}")
        elif each.last_delivered is None:
            yield advice("alarms", each.endpoint, "it has never taken a message: try it with `backupman notify test`")
        elif not each.given_up:
            yield good("alarms", each.endpoint, f"took a message on {minute(each.last_delivered)}")


def of_keeping(jobs: Sequence[JobPlan]) -> Iterator[Finding]:
    """Whether one fire, one thief or one full disk takes everything."""
    for job in jobs:
        places = [drive.label for drive in job.drives]
        if not places:
            yield problem("keeping", job.label, "it has no drive, so its backups are kept nowhere: name one in the job")
        elif all(drive.provider == "local" for drive in job.drives):
            yield advice(
                "keeping",
                job.label,
                f"its backups are on this machine alone ({listed(places)}): what takes the machine takes them too; "
                "add a drive elsewhere",
            )
        elif len(places) == 1:
            yield advice("keeping", job.label, f"its backups are on {places[0]} alone: add a second drive")
        else:
            yield good("keeping", job.label, f"its backups are on {listed(places)}")
        for drive in job.drives:
            if drive.provider != "local" and job.pipeline.encryption is None:
                yield advice(
                    "keeping",
                    drive.label,
                    f"{job.label} puts its dumps there unencrypted: whoever reads the drive reads the databases; see "
                    "`pipeline.encryption`",
                )
            if drive.capabilities.deletes and not job.retention_on(drive):
                yield advice(
                    "keeping",
                    drive.label,
                    f"nothing that {job.label} puts there is ever removed, so that it becomes full one day: see "
                    "`retention`",
                )


def of_proofs(store: Store, jobs: Sequence[JobPlan], at: datetime) -> Iterator[Finding]:
    """Whether there are good backups, and whether anybody has ever looked at them."""
    sources = {source.label: source for job in jobs for source in job.sources}
    drives = {drive.label for job in jobs for drive in job.drives}
    series = sorted(store.statistics.own_series(sources))
    newest = {copy.series for copy in store.statistics.newest(series)}
    # A name that was mistyped once, and that nothing was ever made of, is nobody's concern any more.
    series = [each for each in series if each in newest or _is_meant(store, sources[each.source], each.database)]
    recent = store.statistics.recent(series, _LAST)
    verified, proved = (_newest_shown(store, series, drives, how) for how in ("verified", "proved"))
    for label in sorted(sources.keys() - {each.source for each in series}):
        yield advice("proofs", label, "it was never backed up here: make the first one with `backupman run`")
    names = {
        each: f"{each.source}/{each.database}" if sources[each.source].many and each.database else each.source
        for each in series
    }
    for each, name in names.items():
        source = sources[each.source]
        shown = proved.get(each) if source.restores else verified.get(each)
        if said := _bad_copies(each, recent[each]):
            yield problem("proofs", name, said)
        if each not in newest:
            yield problem("proofs", name, f"{_without(each, newest)}: see `backupman list`")
        elif each not in verified:
            yield advice("proofs", name, "no copy of it was ever read back: try `backupman verify latest`")
        elif shown is None:
            yield advice("proofs", name, "no drill has ever restored it: try `backupman verify latest --level restore`")
        else:
            done = "restored by a drill" if source.restores else "read back"
            if at - shown > _OLD:
                yield advice("proofs", name, f"the newest copy that was {done} is {(at - shown).days} days old")
            else:
                yield good("proofs", name, f"a copy of {minute(shown)} was {done} and is right")
    encrypted = {source.label for job in jobs for source in job.sources if job.pipeline.encryption}
    checked = store.proofs.keys_checked()
    for each, name in names.items():
        if each in newest and each.source in encrypted and (each.source, each.database) not in checked:
            yield advice(
                "proofs",
                name,
                "no key was ever shown to open it: run `backupman key check --identity FILE` where the key is",
            )


def _is_meant(store: Store, source: Source, database: str) -> bool:
    """Whether the next backup would be of it too: where the server is asked what it has, as far as the last run found.

    A retry is of what had failed alone; all databases of a run are on record before one of them ends.
    """
    if source.named is not None or not database:
        return source.means(database)
    [last] = store.backups.list(BackupFilter(source=source.label, database=database), limit=1)
    runs = store.backups.list(BackupFilter(source=source.label, since=last.finished_at), limit=_LOOKED_AT)
    return not last.finished_at or not any(each.database and each.trigger != "retry" for each in runs)


def _bad_copies(series: Series, recent: Sequence[Past]) -> str | None:
    """Which copies of the newest affected backup are not right, and what to do; None: no copy is known to be bad."""
    made = next((past for past in recent if any(copy.is_bad for copy in past.copies)), None)
    if made is None:
        return None
    bad = [copy for copy in made.copies if copy.is_bad]
    one = len(bad) == 1
    said = f"the {'copy' if one else 'copies'} of {minute(made.created_at)} on {listed([copy.drive for copy in bad])} "
    errors = listed(list(dict.fromkeys(copy.verify_error or "" for copy in bad)))
    said += f"{'is' if one else 'are'} not right: {errors}; "
    if any(copy.is_right for copy in made.copies):
        return (
            f"{said}`backupman reconcile --fix` copies {'it' if one else 'them'} anew from a drive that has a good one"
        )
    if any(copy.is_right for past in recent for copy in past.copies if past.created_at > made.created_at):
        return f"{said}no copy of that backup is good, and a newer one is there: `backupman delete {made.id[:8]}`"
    return f"{said}no copy of that backup is good: make a new one by `backupman run --source {quote(series.source)}`"


def _without(series: Series, newest: set[Series]) -> str:
    """What is the matter with one that has no good backup."""
    if not series.database and any(each.source == series.source for each in newest):
        return "its last run has failed before its databases were known"
    return "it has no good backup"


def _newest_shown(store: Store, series: Sequence[Series], drives: set[str], how: Shown) -> dict[Series, datetime]:
    """When the newest backup of each was begun of which a copy was shown to be good, on whichever drive."""
    found: dict[Series, datetime] = {}
    for copy in store.statistics.newest_on(series, drives, how):
        found[copy.series] = max(copy.created_at, found.get(copy.series, copy.created_at))
    return found


def _is_served(state_folder: Path) -> bool:
    """Whether a daemon holds the lock of the folder."""
    try:
        with (state_folder / "daemon.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
