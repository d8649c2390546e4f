"""What no single block can see: labels used twice, names that refer to nothing, other programs' sections.

Labels are compared as they were written, so that these mistakes are found beside all others.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from pydantic import TypeAdapter, ValidationError

from backupman import registry
from backupman.config._document import Location, Problem
from backupman.config.model import Config
from backupman.config.plans import JobPlan, plans, wanting
from backupman.events import EventKind
from backupman.naming import slug
from backupman.notifiers import Notifier
from backupman.queues import ANY
from backupman.registry import nearest
from backupman.text import few, listed

_GOOD = frozenset({EventKind.BACKUP_SUCCESS, EventKind.BACKUP_REPORT})
_LATE = (EventKind.BACKUP_LATE, EventKind.BACKUP_MISSED, EventKind.BACKUP_STUCK)
_NO_PLACE = frozenset({"label", "required", "retention", "bandwidth"})
"""What two drives of one place may differ in."""
_SECTIONS = ("data_sources", "scratch_servers", "drives", "jobs")


def misplaced(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Sections that other programs have at the top, and where they go."""
    if "notification" in data:
        yield Problem(
            ("notification",),
            "this section of Prime Backup goes under notifiers: an endpoint of type webhook to "
            "notifiers.webhook.endpoints with its name, url, headers and timeout, one of type bark to a block of "
            "notifiers.bark, and events to each",
        )
    for name in sorted(set(registry.names("notifiers")) & data.keys()):
        yield Problem((name,), f"this block goes under notifiers, for example notifiers: {{{name}: …}}")


def label_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Labels used twice, jobs that name what is not there, and two schedules at once."""
    for section in _SECTIONS:
        yield from _repeated(section, _labels(data, section))
    for section in ("data_sources", "drives"):
        labels = _labels(data, section)
        if len(labels) == len(_blocks(data, section)):
            yield from _unknown(data, section, list(labels.values()))
    scratch = list(_labels(data, "scratch_servers").values())
    for index, source in enumerate(_blocks(data, "data_sources")):
        used = source.get("scratch_server") if isinstance(source, Mapping) else None
        yield from _unknown_of(used, ("data_sources", index, "scratch_server"), scratch)
    backup_job = _mapping(_mapping(data, "http"), "backup_job")
    if "jobs" in data and _is_on(backup_job.get("enabled", "false")):
        cron = backup_job.get("cron", "@daily")
        yield Problem(
            ("http", "backup_job"),
            f"cannot stand beside jobs: remove it and give a job its cron, for example jobs: [{{label: all, "
            f"cron: {cron!r}}}]",
        )


def endpoint_problems(data: Mapping[str, Any], notifiers: Mapping[str, Sequence[Notifier]]) -> Iterator[Problem]:
    """Endpoints of one name, and jobs that name endpoints that are not there."""
    blocks = [block for listed in notifiers.values() for block in listed]
    names = [endpoint.name for block in blocks for endpoint in block.endpoints()]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(("notifiers",), f"the endpoint {name!r} stands there twice; give each its own name or label")
    if all(block.enabled for block in blocks):  # else not every endpoint is known
        known = [name for block in blocks for endpoint in block.endpoints() for name in block.names_of(endpoint)]
        yield from _unknown(data, "notifiers", [*notifiers, *known])
        asked = _mapping(data, "alarm_drill").get("notifiers")
        yield from _unknown_of(asked, ("alarm_drill", "notifiers"), [*notifiers, *known])


def fleet_problems(config: Config) -> Iterator[Problem]:
    """What workers on many hosts need and this config lacks."""
    if not config.database.on_postgres:
        yield Problem(
            ("executor",),
            "procrastinate needs the records in PostgreSQL, for example database: {provider: postgres, host: db, "
            "user: backupman, password: '${DB_PASSWORD}'}",
        )
    if find_spec("procrastinate") is None:
        yield Problem(("executor",), "procrastinate needs the package procrastinate: pip install 'backupman[fleet]'")


def warnings(config: Config) -> list[str]:
    """What is allowed, and probably not meant."""
    providers = [*config.data_sources, *config.drives, *config.all_notifiers()]
    own = [warning for provider in providers for warning in provider.warnings()]
    queues = _idle_queues(config) if config.executor == "embedded" else _scattered(config)
    sources = [*_called_all(config), *_never_asked(config)]
    return [*own, *sources, *_one_place(config), *_hidden_failures(config), *_unheard(config), *queues]


def _called_all(config: Config) -> Iterator[str]:
    """Sources of which one database is dumped that hardly has such a name."""
    for source in config.data_sources:
        if source.server and source.named == ["all"]:
            yield (
                f"{source.label}: only a database with the name all is dumped: for every database of the server write "
                "`databases: all`, without db_name"
            )


def _never_asked(config: Config) -> Iterator[str]:
    """Sources with questions for drills about a database that they have no dump of."""
    for source in config.data_sources:
        names = source.named if source.many else source.list_databases()
        asked = [question.database for question in (*source.assertions, source.freshness) if question]
        for name in dict.fromkeys(asked):
            if name and names is not None and name not in names:
                yield (
                    f"{source.label}: a drill never asks what `assertions` or `freshness` have for the database "
                    f"{name}, of which there is no dump{nearest(name, list(names))}"
                )


def _one_place(config: Config) -> Iterator[str]:
    """Drives of one job that are one place, where the second copy is the first."""
    found: dict[tuple[str, str], None] = {}
    for plan in plans(config):
        seen: dict[str, str] = {}
        for drive in plan.drives:
            place = json.dumps(
                {name: value for name, value in drive.revealed().items() if name not in _NO_PLACE}, sort_keys=True
            )
            if (other := seen.setdefault(place, drive.label)) != drive.label:
                found[other, drive.label] = None
    for one, other in found:
        yield f"{one} and {other} are one place, which takes one copy of a backup, not two: correct one, or remove it"


def _idle_queues(config: Config) -> Iterator[str]:
    """Queues that nothing waits in."""
    named = [("verify", config.verify.queue)]
    named += [(source.label, source.queue) for source in config.data_sources]
    named += [(job.label, job.queue) for job in config.jobs]
    named += [(f"verify of {job.label}", job.verify.queue) for job in config.jobs if job.verify]
    named += [(block.named(), block.queue) for block in config.all_notifiers()]
    if found := [name for name, queue in named if queue]:
        yield f"{few(found)}: queue means nothing without workers: they need executor: procrastinate"


def _scattered(config: Config) -> Iterator[str]:
    """Copies that lie on whatever host had the time to make them."""
    for plan in plans(config):
        sources = [source.label for source in plan.sources if plan.queue_of(source) == ANY]
        for drive in plan.drives if sources else []:
            if drive.provider == "local":
                yield (
                    f"{drive.label}: a local drive is another folder on each host, and any worker backs up "
                    f"{few(sources)}: give them the queue of one host, or mount the same folder on all"
                )


def _unheard(config: Config) -> Iterator[str]:
    """What can go wrong beside a backup that fails, and no endpoint of the job hears of."""
    found: dict[tuple[str, str], list[str]] = {}
    for job in plans(config):
        possible: dict[str, tuple[Sequence[str], bool]] = {
            "a backup is late, was missed or does not end": (_LATE, bool(job.schedule or job.max_age)),
            "a copy is not right": ((EventKind.VERIFY_FAILURE,), bool(job.verify_schedule)),
        }
        heard = {kind for endpoint in job.endpoints for kind in endpoint.events}
        for what, (kinds, can_be) in possible.items() if job.endpoints else ():
            if can_be and (missing := [kind for kind in kinds if kind not in heard]):
                found.setdefault((what, listed(missing)), []).append(job.label)
    for (what, kinds), labels in found.items():
        yield f"{few(labels)}: nobody is told when {what}: add {kinds} to the events of a notifier"
    endpoints = [endpoint for notifier in config.all_notifiers() for endpoint in notifier.endpoints()]
    kind = EventKind.RECORDS_FAILURE
    if any(job.schedule for job in plans(config)) and endpoints and not wanting(config, None, kind):
        yield f"nobody is told when the records cannot be used: add {kind} to the events of a notifier"


def _hidden_failures(config: Config) -> Iterator[str]:
    """Services that show one state, and are told of several sources."""
    jobs = plans(config)
    for block in config.all_notifiers():
        for endpoint in block.endpoints() if block.shows_state and "database" not in block.apart else []:
            telling = [job for job in jobs if endpoint.name in (told.name for told in job.endpoints)]
            checks = [[job] for job in telling] if "job" in block.apart else [telling]
            of = next(filter(None, (_several(check, block) for check in checks)), None)
            if of and not _GOOD.isdisjoint(endpoint.events):
                yield (
                    f"{endpoint.name}: it shows one state for {of}, where the success of one hides the failure of "
                    "another: give each a job and a notifier of its own, or write {source} and {database} into the URL "
                    "of a service that makes checks by their names"
                )


def _several(jobs: Sequence[JobPlan], block: Notifier) -> str | None:
    """What these jobs show one state for there, if that is more than one database."""
    sources = {source.label: source.many for job in jobs for source in job.sources}
    if len(sources) > 1 and not block.tells_apart:
        return f"{len(sources)} sources"
    return next((f"all databases of {label}" for label, many in sources.items() if many), None)


def _repeated(section: str, labels: Mapping[int, str]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for index, label in labels.items():
        # Only a source's label becomes a folder and a lock, where more than its exact text counts.
        key = slug(label) if section == "data_sources" else label
        other = first.get(key)
        first[key] = label
        if other == label:
            yield Problem((section, index, "label"), f"the label {label!r} is used twice; give each its own")
        elif other is not None:
            sentence = f"{label!r} and {other!r} would share the folder {key!r} on the drives; rename one"
            yield Problem((section, index, "label"), sentence)


def _unknown(data: Mapping[str, Any], field: str, known: Sequence[str]) -> Iterator[Problem]:
    for index, job in enumerate(_blocks(data, "jobs")):
        yield from _unknown_of(job.get(field) if isinstance(job, Mapping) else None, ("jobs", index, field), known)


def _unknown_of(used: object, location: Location, known: Sequence[str]) -> Iterator[Problem]:
    listed = ", ".join(repr(label) for label in dict.fromkeys(known)) or "none"
    for number, name in enumerate(used if isinstance(used, list) else [used]):
        if isinstance(name, str) and name not in known:
            sentence = f"there is no {name!r}{nearest(name, list(known))}; there is {listed}"
            yield Problem((*location, number) if isinstance(used, list) else location, sentence)


def _labels(data: Mapping[str, Any], section: str) -> dict[int, str]:
    """The labels of a section that are text, by their index."""
    blocks = enumerate(_blocks(data, section))
    found = {index: block.get("label") for index, block in blocks if isinstance(block, Mapping)}
    return {index: label for index, label in found.items() if isinstance(label, str)}


def _blocks(data: Mapping[str, Any], section: str) -> list[Any]:
    blocks = data.get(section)
    return blocks if isinstance(blocks, list) else []


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}


def _is_on(value: Any) -> bool:
    try:
        return TypeAdapter(bool).validate_python(value)
    except ValidationError:
        return False
