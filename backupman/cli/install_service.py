"""`install-service`: makes Backupman a service of this machine, and undoes that."""

import os
import stat
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from backupman.cli.call import Call
from backupman.cli.service_steps import (
    ACCOUNT,
    CONFIG,
    KINDS,
    PROGRAM,
    STATE,
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
    remove: Annotated[bool, typer.Option("--remove", help="Undo it; the config, records and backups stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Write below DIR, for packages and images.")
    ] = Path("/"),
) -> None:
    """Make Backupman a systemd service of this machine, with an account of its own.

    It says what it will do, and asks. What is there already stays: a config is
    never written over. With --config FILE that file becomes the config.

    \b
    Examples, as root:
      backupman install-service -c my.yml
      backupman install-service --timer --yes
      backupman install-service --remove
    """
    host = Host(root.resolve())
    if host.is_live and os.geteuid():
        raise ConfigError("install-service changes the system and needs root: call it with sudo")
    kind, other = ("timer", "daemon") if timer else ("daemon", "timer")
    if not remove and KINDS[other][0] in installed(host):
        raise ConfigError(f"{KINDS[other][0]} is installed, and both would be too much: call this with --remove first")
    program = PROGRAM if remove else _program(host)
    steps = list(removal(host) if remove else installation(host, kind, program, _given(host, call)))
    _announce(call, steps)
    if steps and not yes:
        _confirm()
    for step in steps:
        try:
            step.make()
        except OSError as error:
            raise BackupmanError(f"could not {step.says}: {error.strerror}") from error
    if not call.quiet:
        for line in _left(host) if remove else _next(host, kind, program):
            typer.echo(line)


def _program(host: Host) -> Path:
    """The program that the units start: this one, where the service's account can see it.

    Raises:
        ConfigError: it cannot.
    """
    if not host.is_live:
        return PROGRAM
    called, beside = Path(sys.argv[0]).resolve(), Path(sysconfig.get_path("scripts")) / "backupman"
    program = called if called.name == "backupman" else beside  # which is not there for a distribution's own Python
    for place in (program, Path(sys.executable).resolve(), Path(__file__).resolve()):
        hidden = next((folder for folder in _HIDDEN if place.is_relative_to(folder)), None)
        shut = next((path for path in (*reversed(place.parents), place) if not _is_open(path)), None)
        if hidden or shut:
            raise ConfigError(
                f"{place} is hidden from the service{f' by {shut}' if shut and not hidden else ''}: install Backupman "
                "where everybody may read it, for example with `python3 -m venv /opt/backupman` and "
                "`/opt/backupman/bin/pip install backupman`, and call /opt/backupman/bin/backupman install-service"
            )
    return program


def _is_open(path: Path) -> bool:
    """Whether everybody may read the file, or go through the folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & (stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH))


def _given(host: Host, call: Call) -> Path | None:
    """The file of --config, where there is no config yet. Raises ConfigError."""
    if call.config and not call.config.is_file():
        raise ConfigError(f"there is no config {call.config}")
    if call.config and host.at(CONFIG).exists() and not call.config.samefile(host.at(CONFIG)):
        typer.echo(f"{host.at(CONFIG)} is there and stays as it is: {call.config} is not used.", err=True)
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


def _next(host: Host, kind: str, program: Path) -> Iterator[str]:
    """What is left to do."""
    unit = KINDS[kind][0]
    if not host.is_live:
        yield f"The account {ACCOUNT} and `systemctl enable --now {unit}` are left to whoever installs {host.root}."
        return
    if is_example(host.at(CONFIG)):
        yield f"{CONFIG} is an example: write your own there, and call install-service again."
    elif not host.has_systemd():
        yield f"systemd does not run here. When it does: systemctl daemon-reload && systemctl enable --now {unit}"
    else:
        yield f"How it is:     systemctl status {unit}"
    yield f"Its records:   sudo -u {ACCOUNT} XDG_STATE_HOME={STATE.parent} {program} list -c {CONFIG}"


def _left(host: Host) -> Iterator[str]:
    """What was not removed."""
    there = [str(host.at(path)) for path in (CONFIG.parent, STATE) if host.at(path).exists()]
    there += [str(path) for path in host.at(UNITS).glob("backupman*.d")]
    if there:
        yield f"Left as they are: {', '.join(there)}, and the backups on your drives."
    if host.account():
        yield f"The account {ACCOUNT} stays while files are its own. Without any: userdel {ACCOUNT}"
