"""`init`: writes a first config from flags, and asks for what is missing when somebody sits there to answer."""

import os
import re
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from backupman.cli.call import CONFIG_PLACES, CONFIG_VARIABLE, Call
from backupman.errors import ConfigError

_HEAD = """\
# The config of Backupman, written by `backupman init`.
# `backupman config example` shows everything that may stand here: schedules, more sources and drives, mail,
# encryption, hooks. `backupman config check` says whether it is right.
"""


@dataclass(frozen=True)
class _Question:
    """One setting: `default` None means that it is required, an empty one that it may be left out."""

    key: str
    flag: str
    text: str
    default: str | None = None
    secret: bool = False
    path: bool = False


def _server(port: str, user: str) -> tuple[_Question, ...]:
    return (
        _Question("host", "--host", "Host of the server", "127.0.0.1"),
        _Question("port", "--port", "Port", port),
        _Question("user", "--user", "Account that may read everything", user),
        _Question("password", "--password-env", "Its password (not shown; empty for none)", "", secret=True),
        _Question("db_name", "--db-name", "Database to back up, or all", "all"),
    )


_SOURCES = {
    "sqlite": (_Question("db_path", "--db-path", "Path of the SQLite file", path=True),),
    "postgres": _server("5432", "postgres"),
    "mysql": _server("3306", "root"),
    "mariadb": _server("3306", "root"),
}
_DRIVES = {
    "local": (_Question("folder", "--folder", "Folder to keep the backups in", path=True),),
    "s3": (
        _Question("bucket", "--bucket", "Bucket"),
        _Question("region", "--region", "Region", "us-east-1"),
        _Question("endpoint", "--endpoint", "Address, unless it is Amazon's", ""),
        _Question("access_key", "--access-key-env", "Access key (not shown)", secret=True),
        _Question("secret_key", "--secret-key-env", "Secret key (not shown)", secret=True),
    ),
}
_WEBHOOK = (
    _Question("url", "--webhook", "Webhook to send reports to (empty for none)", ""),
    _Question("token", "--webhook-token-env", "Its token (not shown; empty for none)", "", secret=True),
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SourceKind = Literal["sqlite", "postgres", "mysql", "mariadb"]
_DriveKind = Literal["local", "s3"]


def init(
    call: Call,
    source: Annotated[_SourceKind | None, typer.Option(help="The kind of database.")] = None,
    label: Annotated[str | None, typer.Option(metavar="TEXT", help="The source's name in records.")] = None,
    db_path: Annotated[str | None, typer.Option(metavar="FILE", help="sqlite: its file.")] = None,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="The database server.")] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="Its port.")] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="The account there.")] = None,
    password_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="The environment variable that holds its password.")
    ] = None,
    password_file: Annotated[str | None, typer.Option(metavar="FILE", help="Or the file that does.")] = None,
    db_name: Annotated[str | None, typer.Option(metavar="NAME", help="The database, or `all`.")] = None,
    drive: Annotated[_DriveKind | None, typer.Option(help="The kind of place to keep backups in.")] = None,
    folder: Annotated[str | None, typer.Option(metavar="FOLDER", help="local: the folder.")] = None,
    bucket: Annotated[str | None, typer.Option(metavar="NAME", help="s3: the bucket.")] = None,
    region: Annotated[str | None, typer.Option(metavar="NAME", help="s3: its region.")] = None,
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="s3: the server, unless it is Amazon's.")] = None,
    access_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="s3: the variable that holds the access key.")
    ] = None,
    secret_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="s3: the variable that holds the secret key.")
    ] = None,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Where to send reports.")] = None,
    webhook_token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="The variable that holds its token.")
    ] = None,
    keep_days: Annotated[
        int | None, typer.Option(metavar="DAYS", min=1, help="Remove older backups; default keep all.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the config that is there.")] = False,
) -> None:
    """Write a first config.

    It holds one database, one drive and perhaps a webhook. Asks for what no flag says. Secrets are never flags: they
    are asked for without being shown and written into the file (mode 0600), or stay in the environment variable or
    the file that a flag names.

    \b
    Examples:
      backupman init
      backupman init --source sqlite --db-path app.db \\
                     --drive local --folder /srv/backups
      backupman init --source postgres --user backup --password-env PGPASS \\
                     --drive local --folder /srv/backups -c config.yml
    """
    path = call.config or Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_PLACES[0])
    try:
        os.stat(f"{path.parent}/.")  # noqa: PTH116 - Path drops the dot, which only a folder has that may be entered
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{path} cannot be written: make the folder {path.parent} first, or name another file by -c"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    if os.path.lexists(path) and not force:
        raise ConfigError(f"{path} is there already; name another with -c, or overwrite it with --force")
    variables = {
        "--password-env": password_env,
        "--access-key-env": access_key_env,
        "--secret-key-env": secret_key_env,
        "--webhook-token-env": webhook_token_env,
    }
    given = {
        "--label": label, "--db-path": db_path, "--host": host, "--port": None if port is None else str(port),
        "--user": user, "--db-name": db_name, "--folder": folder, "--bucket": bucket, "--region": region,
        "--endpoint": endpoint, "--webhook": webhook,
    } | {flag: _reference(flag, variable) for flag, variable in variables.items()}  # fmt: skip
    if password_file:
        if password_env:
            raise ConfigError("--password-env and --password-file: name one of them")
        given["--password-env"] = f"${{file:{Path(password_file).absolute()}}}"
    text = _text(given, source, drive, keep_days)
    _write(path, text, force=force)
    typer.echo(f"Wrote {path}, readable by you alone.\n")
    typer.echo(f"Can everything be reached?  {call.again('health')}")
    typer.echo(f"Make the first backup:      {call.again('run')}")


def _text(given: dict[str, str | None], source: str | None, drive: str | None, keep_days: int | None) -> str:
    """The whole file."""
    import yaml

    kind = source or _ask(_Question("", "--source", f"Kind of database ({', '.join(_SOURCES)})"), list(_SOURCES))
    name = _Question("label", "--label", "A name for it, for records and reports", kind)
    database = {"provider": kind} | _answers((name, *_SOURCES[kind]), given)
    if database.get("db_name") == "all":
        del database["db_name"]
        database["databases"] = "all"
    kind = drive or _ask(
        _Question("", "--drive", f"Where to keep backups ({', '.join(_DRIVES)})", "local"), list(_DRIVES)
    )
    place = {"provider": kind, "label": kind} | _answers(_DRIVES[kind], given)
    sections: list[tuple[str, dict[str, Any]]] = [
        ("What is dumped.", {"data_sources": [database]}),
        ("Where the dumps are kept.", {"drives": [place]}),
    ]
    if (url := _answers(_WEBHOOK[:1], given)) and (hook := url | _answers(_WEBHOOK[1:], given)):
        hook = {"name": "default"} | hook
        sections.append(("Who is told.", {"notifiers": {"webhook": {"enabled": True, "endpoints": [hook]}}}))
    if keep_days:
        sections.append(("Older backups are removed, never the last one.", {"retention": {"value": keep_days}}))
    blocks = [f"# {about}\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}" for about, data in sections]
    return "\n".join([_HEAD, *blocks])


def _answers(questions: tuple[_Question, ...], given: dict[str, str | None]) -> dict[str, str]:
    """What was given or is answered, without what is left out."""
    answers = {question.key: _answer(question, given.get(question.flag)) for question in questions}
    return {key: answer for key, answer in answers.items() if answer}


def _answer(question: _Question, given: str | None) -> str:
    if given is not None and question.secret:
        return given
    answer = _ask(question) if given is None else given
    if answer and question.path:  # or it would be another place for a daemon, which starts elsewhere
        answer = str(Path(answer).expanduser().absolute())
    return _literal(answer)


def _ask(question: _Question, choices: list[str] | None = None) -> str:
    """The answer of whoever sits there; else the default. Raises ConfigError where there is neither."""
    if not sys.stdin.isatty():
        if question.default is None:
            raise ConfigError(f"{question.flag} is required where nobody can be asked ({question.text})")
        return question.default
    while True:
        answer: str = typer.prompt(
            question.text,
            default=question.default,
            hide_input=question.secret,
            show_default=bool(question.default),
            err=True,
        ).strip()
        if choices is None or answer in choices:
            return answer
        typer.echo(f"One of {', '.join(choices)}, please.", err=True)


def _reference(flag: str, variable: str | None) -> str | None:
    """How a config refers to a variable that holds a secret.

    Raises:
        ConfigError: no variable has such a name, which is not repeated: it may be the secret itself.
    """
    if variable and not _VARIABLE.fullmatch(variable):
        raise ConfigError(
            f"{flag}: that is no name of an environment variable, which has letters, digits and _ alone: name the "
            "variable that holds the secret, not the secret"
        )
    return f"${{{variable}}}" if variable else None


def _literal(text: str) -> str:
    """The text as it must stand in a config, where `${` would begin a reference."""
    return text.replace("${", "$${")


def _write(path: Path, text: str, *, force: bool) -> None:
    """Put the file there whole, for its owner alone, once it was loaded for a check.

    Raises:
        ConfigError: it would not pass `config check`, or cannot be written, or is there already.
    """
    from backupman.config import load

    try:
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        draft = Path(name)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
            load(draft)
            if force:
                draft.replace(path)
            else:
                path.hardlink_to(draft)
        except ConfigError as error:
            raise ConfigError(error.sentence.replace(str(draft), str(path))) from error
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
