"""The command line: the table of all commands, and the one place where an error becomes an exit code."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import typer

from backupman.cli import mistakes
from backupman.cli.call import Call, with_common_options
from backupman.cli.commands import Commands
from backupman.cli.unread import errors_may_be_lost
from backupman.errors import BackupmanError, ExitCode
from backupman.text import printable

log = logging.getLogger(__name__)


def _everything(call: Call) -> None:
    """Dump databases, ship the dumps to several drives, and prove that somebody was told.

    \b
    Begin with:
      backupman init               write a config by answering a few questions
      backupman doctor             would everything be backed up and kept?
      backupman run                make a backup of everything now
      backupman list               what was made, the newest first
      backupman show latest        everything that is known of one backup

    \b
    Exit codes: 0 all finished, 1 something failed, 2 the config or the call is
    wrong, 3 everything asked for is already running, 130 interrupted.
    """


def _configs(call: Call) -> None:
    """Check, show and explain the config.

    \b
    Example:
      backupman config check
    """


def _events(call: Call) -> None:
    """What happened, and telling it again.

    \b
    Example:
      backupman events list
    """


def _deliveries(call: Call) -> None:
    """Who was told what, and who is still owed a message.

    \b
    Example:
      backupman deliveries list --state owed
    """


def _notifiers(call: Call) -> None:
    """Does everybody get what they are sent, and what would they get?

    \b
    Example:
      backupman notify test
    """


def _store(call: Call) -> None:
    """The database of all records.

    \b
    Example:
      backupman store migrate --to sqlite:////srv/backupman.db
    """


def _keys(call: Call) -> None:
    """Fresh secrets, and the proof that a key opens what was encrypted for it.

    \b
    Example:
      backupman key new --kind api
    """


_COMMANDS = {
    "run": "run.run",
    "retry": "run.retry",
    "serve": "serve.serve",
    "worker": "worker.worker",
    "schedule": "schedule.schedule",
    "exec": "exec.execute",
    "list": "records.list_backups",
    "show": "records.show",
    "restore": "restore.restore",
    "restores": "restore.list_restores",
    "verify": "verify.verify",
    "reconcile": "reconcile.reconcile",
    "prune": "prune.prune",
    "pin": "prune.pin",
    "unpin": "prune.unpin",
    "delete": "delete.delete",
    "health": "health.health",
    "doctor": "doctor.doctor",
    "workers": "workers.workers",
    "init": "init.init",
    "install-service": "install_service.install_service",
    "import": "imports.take_over",
    "auth-google": "auth_google.auth_google",
    "version": "version.version",
}
"""Where the function of each is, below this package."""

_GROUPS: dict[str, tuple[Callable[..., None], dict[str, str]]] = {
    "config": (
        _configs,
        {
            "check": "config.check",
            "show": "config.show",
            "schema": "config.schema",
            "example": "config.example",
            "paths": "paths.paths",
        },
    ),
    "events": (_events, {"list": "events.list_events", "replay": "events.replay"}),
    "deliveries": (
        _deliveries,
        {
            "list": "deliveries.list_deliveries",
            "show": "deliveries.show",
            "retry": "deliveries.retry",
            "drop": "deliveries.drop",
        },
    ),
    "notify": (_notifiers, {"test": "notify.test", "preview": "notify.preview", "drill": "notify.drill"}),
    "store": (_store, {"migrate": "store.migrate"}),
    "key": (_keys, {"new": "keys.new", "check": "key_check.check"}),
}


def program(words: Sequence[str] = ()) -> typer.Typer:
    """The command line, with all commands, or with the one alone that is the first of the `words`."""
    # Plain help texts and traces: Rich's would be imported by every `--help`, and its traces show local variables.
    plain = {"rich_markup_mode": None, "cls": Commands, "context_settings": {"help_option_names": ["-h", "--help"]}}
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, **plain)  # type: ignore[arg-type]
    app.callback()(with_common_options(_everything))
    alone = words[0] if words and words[0] in {*_COMMANDS, *_GROUPS} else None
    for name, command in _COMMANDS.items():
        if alone in (None, name):
            # Behind the first word of the wrapped command every option is that command's own.
            settings = {"allow_interspersed_args": name != "exec"}
            app.command(name, context_settings=settings)(_offered(command))
    for name, (about, commands) in _GROUPS.items():
        if alone in (None, name):
            group = typer.Typer(no_args_is_help=True, **plain)  # type: ignore[arg-type]
            group.callback()(with_common_options(about))
            for inner, command in commands.items():
                group.command(inner)(_offered(command))
            app.add_typer(group, name=name)
    return app


def _offered(command: str) -> Callable[..., None]:
    module, _, function = command.partition(".")
    return with_common_options(getattr(import_module(f"{__name__}.{module}"), function))


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""What is wrong with a standard output; of files of ours it is told with their names."""


_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP})
"""What is wrong with a path that somebody has named, or with the rights there."""


def main() -> int:
    """Run the command line; what the process answers to its shell."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed: what is opened next, the records perhaps, would be written to instead
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - until the end
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that knows no ✓ shows a ?
    with errors_may_be_lost():
        return _ended()


def _ended() -> int:
    try:
        return program(sys.argv[1:])(prog_name="backupman", standalone_mode=False) or ExitCode.OK
    except mistakes.WrongCall as error:
        if mistakes.is_help(error):
            typer.echo(error.message, err=True)
        else:
            _say(mistakes.sentence(error))
        return ExitCode.USAGE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except typer.Abort:
        typer.echo(err=True)
        _say("interrupted before anything was done")
        return ExitCode.INTERRUPTED
    except BackupmanError as error:
        _say(error.sentence)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last door: a fault of ours is told in a sentence too
        _say_unexpected(error)
        return ExitCode.FAILED


def _say_unexpected(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
        _say(f"what there is to be said cannot be written where it is to go: {error.strerror}")
    elif isinstance(error, OSError) and error.errno in _NOT_OURS and error.filename is not None:
        _say(f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}; see its name, and who may enter there")
    else:
        _say(f"unexpected {type(error).__name__}: {error}. This is a fault of backupman: please report it", trace=True)


def _say(sentence: str, *, trace: bool = False) -> None:
    if log.isEnabledFor(logging.DEBUG):
        log.debug("the trace of this error:", exc_info=True)  # noqa: LOG014 - it is the one that the caller handles
    elif trace:
        sentence += ", with what `--debug` prints"
    sentence = printable(sentence)  # it may name a database, or quote a program
    lines = sentence.splitlines()
    typer.echo(f"Error: {sentence}" if len(lines) < 2 else f"Error: {len(lines)} mistakes:\n{sentence}", err=True)
