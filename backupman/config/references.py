"""What no single block can see: labels used twice, names that refer to nothing, and what is worth a second look."""

from collections.abc import Iterable, Sequence

from backupman.config._document import Problem
from backupman.config.model import Config
from backupman.naming import slug
from backupman.registry import nearest


def reference_problems(config: Config) -> list[Problem]:
    """Every mistake between the blocks of a config."""
    problems = [
        *_repeated("data_sources", [source.label for source in config.data_sources]),
        *_repeated("drives", [drive.label for drive in config.drives]),
        *_repeated("jobs", [job.label for job in config.jobs]),
    ]
    if config.jobs and config.http.backup_job.enabled:
        problems.append(
            Problem(
                ("http", "backup_job"),
                "cannot stand beside jobs: remove it and give a job its cron, for example "
                f"jobs: [{{label: all, cron: {config.http.backup_job.cron!r}}}]",
            )
        )
    if config.http.backup_job.enabled and not config.http.backup_job.cron:
        problems.append(Problem(("http", "backup_job"), "is enabled and needs a cron"))
    endpoints = [endpoint.name for notifier in config.all_notifiers() for endpoint in notifier.endpoints()]
    problems += [
        Problem(("notifiers",), f"the endpoint {name!r} stands there twice; give each its own name")
        for name in sorted({name for name in endpoints if endpoints.count(name) > 1})
    ]
    known = {
        "data_sources": [source.label for source in config.data_sources],
        "drives": [drive.label for drive in config.drives],
        "notifiers": [*config.notifiers, *endpoints, *(name.split("/", 1)[-1] for name in endpoints)],
    }
    for index, job in enumerate(config.jobs):
        for field, labels in known.items():
            problems += _unknown(("jobs", index, field), getattr(job, field) or [], labels)
    return problems


def warnings(config: Config) -> list[str]:
    """What is allowed, and probably not meant."""
    providers = [*config.data_sources, *config.drives, *config.all_notifiers()]
    return [warning for provider in providers for warning in provider.warnings()]


def _repeated(section: str, labels: Sequence[str]) -> Iterable[Problem]:
    first: dict[str, str] = {}
    for index, label in enumerate(labels):
        other = first.setdefault(slug(label), label)
        if other == label and labels.index(label) != index:
            yield Problem((section, index, "label"), f"the label {label!r} is used twice; give each its own")
        elif other != label:
            yield Problem(
                (section, index, "label"), f"{label!r} and {other!r} would share the folder {slug(label)!r}; rename one"
            )


def _unknown(location: tuple[str | int, ...], used: Sequence[str], known: Sequence[str]) -> Iterable[Problem]:
    for index, name in enumerate(used):
        if name not in known:
            listed = ", ".join(repr(label) for label in dict.fromkeys(known)) or "none"
            yield Problem((*location, index), f"there is no {name!r}{nearest(name, list(known))}; there is {listed}")
