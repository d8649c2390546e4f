"""`install-service`: makes Backupman a service of this machine, and undoes that."""

import os
import stat
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.service_kinds import DAEMON, PROGRAM, TIMER, WORKER, Kind
from backupman.cli.service_steps import (
    ACCOUNT,
    RELOADING,
    UNITS,
    Host,
    Step,
    installation,
    installed,
    is_example,
    removal,
)
from backupman.errors import BackupmanError, ConfigError

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - what the units hide, named only


def install_service(
    call: Call,
    timer: Annotated[bool, typer.Option("--timer", help="One run each night instead of the daemon.")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="A worker of a fleet, with a config of its own.")] = False,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="NAME", help="A queue that the worker takes from; may be repeated."),
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", metavar="N", min=1, help="How much the worker does at once.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Undo it; the config, records and backups stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Write below DIR, for packages and images.")
    ] = Path("/"),
) -> None:
    """Make Backupman a systemd service of this machine, with an account of its own.

    It says what it will do, and asks. What is there already stays: a config is
    never written over. With --config FILE that file becomes the config.

    A worker can stand beside the daemon. Called again without --queue and
    --parallel it keeps those that it has. --remove undoes the daemon or the
    timer, and with --worker the worker.

    \b
    Examples, as root:
      backupman install-service -c my.yml
      backupman install-service --timer --yes
      backupman install-service --worker --queue db7 -c worker.yml
      backupman install-service --remove
    """
    host = Host(root.resolve())
    kind = WORKER if worker else TIMER if timer else DAEMON
    words = _words(kind, timer, queue or [], parallel)
    if host.is_live and os.geteuid():
        raise ConfigError("install-service changes the system and needs root: call it with sudo")
    other = {DAEMON: TIMER, TIMER: DAEMON}.get(kind)
    if other and not remove and other.unit in installed(host):
        raise ConfigError(f"{other.unit} is installed, and both would be too much: call this with --remove first")
    undone = (WORKER,) if worker else (DAEMON, TIMER)
    program = PROGRAM if remove else _program(host, kind)
    steps = list(
        removal(host, undone) if remove else installation(host, kind, program, _given(host, kind, call), words)
    )
    _announce(call, steps)
    if steps and not yes:
        _confirm()
    for step in steps:
        try:
            step.make()
        except OSError as error:
            raise BackupmanError(f"could not {step.says}: {error.strerror}") from error
    if not call.quiet:
        for line in _left(host, undone) if remove else _next(host, kind, program, steps):
            typer.echo(line)


def _words(kind: Kind, timer: bool, queues: list[str], parallel: int | None) -> list[str]:
    """What stands at the end of the worker's command. Raises ConfigError."""
    from backupman.queues import check_queue

    if kind != WORKER and (queues or parallel):
        raise ConfigError("--queue and --parallel are a worker's: say --worker too")
    if kind == WORKER and timer:
        raise ConfigError("--timer and --worker are two services: name one of them")
    try:
        words = [word for name in queues for word in ("--queue", check_queue(name))]
    except ValueError as error:
        raise ConfigError(f"--queue: it {error}") from error
    return [*words, *(["--parallel", str(parallel)] if parallel else [])]


def _program(host: Host, kind: Kind) -> Path:
    """The program that the units start: this one, where the service's account can see it.

    Raises:
        ConfigError: it cannot, or lacks what a worker needs.
    """
    if not host.is_live:
        return PROGRAM
    if kind == WORKER and not find_spec("procrastinate"):
        raise ConfigError("a worker needs procrastinate: pip install 'backupman[fleet]'")
    called, beside = Path(sys.argv[0]).resolve(), Path(sysconfig.get_path("scripts")) / "backupman"
    program = called if called.name == "backupman" else beside  # which is not there for a distribution's own Python
    for place in (program, Path(sys.executable).resolve(), Path(__file__).resolve()):
        hidden = next((folder for folder in _HIDDEN if place.is_relative_to(folder)), None)
        shut = next((path for path in (*reversed(place.parents), place) if not _is_open(path)), None)
        if hidden or shut:
            raise ConfigError(
                f"{place} is hidden from the service{f' by {shut}' if shut and not hidden else ''}: install Backupman "
                "where everybody may read it, for example with `python3 -m venv /opt/backupman` and, in the checkout, "
                "`/opt/backupman/bin/pip install .`, and call /opt/backupman/bin/backupman install-service"
            )
    return program


def _is_open(path: Path) -> bool:
    """Whether everybody may read the file, or go through the folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & (stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH))


def _given(host: Host, kind: Kind, call: Call) -> Path | None:
    """The file of --config, where there is no config yet. Raises ConfigError."""
    placed = host.at(kind.config)
    if call.config and not call.config.is_file():
        raise ConfigError(f"there is no config {call.config}")
    if call.config and placed.exists() and not call.config.samefile(placed):
        typer.echo(f"{placed} is there and stays as it is: {call.config} is not used.", err=True)
        return None
    return call.config


def _announce(call: Call, steps: Sequence[Step]) -> None:
    if not steps:
        typer.echo("Nothing is to be done: all is as it should be.")
    elif not call.quiet:
        typer.echo("This will")
        for step in steps:
            typer.echo(f"  - {step.says}")


def _confirm() -> None:
    """Raise ConfigError unless it is wanted."""
    if not sys.stdin.isatty():
        raise ConfigError("nothing was done, because nobody could be asked: say --yes if that is meant")
    if not typer.confirm("Go on?", err=True):
        raise ConfigError("nothing was done")


def _next(host: Host, kind: Kind, program: Path, done: Sequence[Step]) -> Iterator[str]:
    """What is left to do."""
    unit = kind.unit
    if not host.is_live:
        yield f"The account {ACCOUNT} and `systemctl enable --now {unit}` are left to whoever installs {host.root}."
        return
    if is_example(kind, host.at(kind.config)):
        again = "install-service --worker" if kind == WORKER else "install-service"
        yield f"{kind.config} is an example: write your own there, and call {again} again."
    elif not host.has_systemd():
        yield f"systemd does not run here. When it does: systemctl daemon-reload && systemctl enable --now {unit}"
    else:
        yield f"How it is:     systemctl status {unit}"
        if done and done[-1] is RELOADING and kind != TIMER:  # it runs, and was not started by us
            yield f"To change it:  systemctl restart {unit}, until then it runs as before"
    if kind == WORKER:
        yield f"Its fleet:     sudo -u {ACCOUNT} {program} workers -c {kind.config}"
        yield f"For local drives and SQLite it needs ReadWritePaths=: systemctl edit {unit}"
    else:
        yield f"Its records:   sudo -u {ACCOUNT} XDG_STATE_HOME={kind.state.parent} {program} list -c {kind.config}"


def _left(host: Host, undone: Sequence[Kind]) -> Iterator[str]:
    """What was not removed."""
    places = [
        undone[0].config.parent,
        undone[0].state,
        *(UNITS / f"{name}.d" for kind in undone for name in kind.units),
    ]
    there = [str(host.at(path)) for path in dict.fromkeys(places) if host.at(path).exists()]
    if there:
        yield f"Left as they are: {', '.join(there)}, and the backups on your drives."
    if WORKER not in undone and WORKER.unit in installed(host):
        yield f"{WORKER.unit} stays: install-service --worker --remove removes it."
    if host.account():
        yield f"The account {ACCOUNT} stays while files are its own. Without any: userdel {ACCOUNT}"
