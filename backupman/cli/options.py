"""Options that several commands share, and the values that people write for them."""

import sys
from datetime import datetime, timedelta
from typing import Annotated

import typer

from backupman.cli import completing
from backupman.errors import ConfigError
from backupman.logs import Format, Level
from backupman.text import written

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", metavar="N", min=1, max=10**9, help="How many; default 20, 100 with --json."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for a source that is being backed up already.")]
DrainTimeout = Annotated[
    str, typer.Option(metavar="TIME", help="How long to go on sending messages at the end, for example 2m.")
]
LogFormat = Annotated[
    Format | None,
    typer.Option(
        metavar="FORMAT", envvar="BACKUPMAN_LOG_FORMAT", help="The log: `human` or `json`; default `log.format`."
    ),
]
LogLevel = Annotated[
    Level | None,
    typer.Option(
        metavar="LEVEL", envvar="BACKUPMAN_LOG_LEVEL", help="`debug`, `info`, `warning`, `error`; or `log.level`."
    ),
]
Jobs = Annotated[
    list[str] | None,
    typer.Option("--job", metavar="LABEL", help="Only this job; may be repeated.", autocompletion=completing.jobs),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="LABEL", help="Only this source; may be repeated.", autocompletion=completing.sources
    ),
]
BackupName = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The id of a backup, its beginning, or `latest`: the newest of the config's sources.",
        autocompletion=completing.backups,
    ),
]


def limited(limit: int | None, *, as_json: bool) -> int:
    """How many to show."""
    return limit or (100 if as_json else 20)


def duration(option: str, text: str) -> timedelta:
    """`500ms`, `30s`, `2m`, `1h`, `2d`; a bare number is seconds. Raises ConfigError, which names the option."""
    from backupman.registry import parse_duration

    try:
        value = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{option}: {error}") from error
    assert isinstance(value, timedelta)  # noqa: S101 - a text always becomes one
    return value


def moment(option: str, text: str, now: datetime) -> datetime:
    """A time: `2d` is two days ago, a date or ISO 8601 time without a zone is local. Raises ConfigError."""
    try:
        return written(text)
    except (ValueError, OverflowError):  # also what is a time only in the year 10000, by UTC
        pass
    try:
        return now - duration(option, text)
    except (ConfigError, OverflowError) as error:
        raise ConfigError(
            f"{option}: {text!r} is neither an age nor a time: write for example 2d, 2026-03-01 or 2026-03-01T04:00Z"
        ) from error


def typed_password(account: str) -> str:
    """What somebody types, unseen; empty where nobody could."""
    if not sys.stdin.isatty():
        return ""
    answer: str = typer.prompt(
        f"Password of {account} (none: Enter)", default="", hide_input=True, show_default=False, err=True
    )
    return answer


def tags(pairs: list[str]) -> dict[str, str]:
    """`release=7` as a tag. Raises ConfigError."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name.strip() and equals):
            raise ConfigError(f"--tag: {pair!r} is not a tag: write it as NAME=VALUE, for example release=7")
        found[name.strip()] = value
    return found


def known(what: str, name: str, labels: list[str]) -> str:
    """The name, which must be one of the labels. Raises ConfigError with the nearest one, or with all of them."""
    from backupman.registry import nearest

    if name in labels:
        return name
    listed = ", ".join(repr(str(label)) for label in labels) or "none"
    raise ConfigError(f"there is no {what} {name!r}" + (nearest(name, labels) or f"; there is {listed}"))
