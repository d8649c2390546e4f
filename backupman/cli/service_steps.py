"""The changes that `install-service` makes to a machine: each is told before it is made, and none is without need."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

import typer

from backupman.cli.paths import drop_in
from backupman.errors import BackupmanError, ConfigError

ACCOUNT = "backupman"
CONFIG = Path("/etc/backupman/config.yml")
STATE = Path("/var/lib/backupman")
UNITS = Path("/etc/systemd/system")
_FAILED = "backupman-failed@.service"
KINDS = {
    "daemon": ("backupman.service", _FAILED),
    "timer": ("backupman-run.timer", "backupman-run.service", _FAILED),
}
"""The units of each kind; the first is the one that is enabled."""
PROGRAM = Path("/opt/backupman/bin/backupman")
"""What the units start as they are shipped."""
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Step:
    """One change."""

    says: str
    make: Callable[[], object]


@dataclass(frozen=True)
class Host:
    """The machine, or a folder that is to become part of one; there are no accounts, and systemd does not run."""

    root: Path = Path("/")

    @property
    def is_live(self) -> bool:
        """Whether it is this machine."""
        return self.root == Path("/")

    def at(self, path: Path) -> Path:
        """Where a path of the machine is now."""
        return self.root / path.relative_to("/")

    def has_systemd(self) -> bool:
        """Whether systemd runs, as sd_booted(3) finds it out."""
        return self.is_live and Path("/run/systemd/system").is_dir()

    def account(self) -> pwd.struct_passwd | None:
        """The service's account."""
        try:
            return pwd.getpwnam(ACCOUNT) if self.is_live else None
        except KeyError:
            return None

    def give(self, path: Path, mode: int, *, wholly: bool = False) -> None:
        """Let the account's group, or `wholly` the account itself, have a path. Raises OSError."""
        path.chmod(mode)
        if account := self.account():
            os.chown(path, account.pw_uid if wholly else 0, account.pw_gid)


def unit_text(name: str, program: Path) -> str:
    """A shipped unit that starts this program."""
    shipped = resources.files("backupman") / "systemd" / name
    if not shipped.is_file():  # in a checkout they stand beside the package
        shipped = Path(__file__).parents[2] / "systemd" / name
    return shipped.read_text(encoding="utf-8").replace(str(PROGRAM), str(program))


def example() -> bytes:
    """The config that is put where there is none."""
    return resources.files("backupman.config").joinpath("example.yml").read_bytes()


def _making_account(host: Host) -> Iterator[Step]:
    """An account that can do nothing but run the service."""
    if host.is_live and not host.account():
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", str(STATE)]
        words = ["useradd", *options, "--shell", "/usr/sbin/nologin", ACCOUNT]
        yield Step(f"make the account {ACCOUNT}, which nobody can log in to", lambda: system(*words))


def _making_folder(host: Host, folder: Path, mode: int, *, wholly: bool = False) -> Iterator[Step]:
    """A folder that is not there yet."""
    path = host.at(folder)

    def make() -> None:
        path.mkdir(parents=True, exist_ok=True)
        host.give(path, mode, wholly=wholly)

    if not path.is_dir():
        whose = f"for the account {ACCOUNT} alone" if wholly else f"readable by the group {ACCOUNT}"
        yield Step(f"make the folder {path}, {whose}", make)


def _placing(host: Host, target: Path, content: bytes, mode: int = 0o644, *, replace: bool = True) -> Iterator[Step]:
    """A file with this content; one that is there already may be left alone instead of replaced."""
    path = host.at(target)

    def place() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(path.name + ".new")
        written.touch(mode=0o600)  # before the content: it may hold secrets
        written.write_bytes(content)
        written.chmod(mode)
        if mode != 0o644:
            host.give(written, mode)
        written.replace(path)

    if not path.exists():
        yield Step(f"write {path}" + ("" if mode == 0o644 else f", mode {mode:04o}"), place)
    elif replace and path.read_bytes() != content:
        yield Step(f"replace {path} by what this version brings", place)


def _letting_read(host: Host, target: Path) -> Iterator[Step]:
    """Let the account's group read a file of root's that is there."""
    path, account = host.at(target), host.account()
    if host.is_live and path.exists():
        known = path.stat()
        if account is None or known.st_gid != account.pw_gid or not known.st_mode & 0o040:
            yield Step(f"let the group {ACCOUNT} read {path}, mode 0640", lambda: host.give(path, 0o640))


def _removing(host: Host, target: Path) -> Iterator[Step]:
    """A file that is there, and its folder if that holds nothing else."""
    path = host.at(target)
    if path.is_file():
        yield Step(f"remove {path}", path.unlink)
        if [other.name for other in path.parent.iterdir()] == [path.name]:
            yield from _removing_folder(path.parent)


def _removing_folder(path: Path) -> Iterator[Step]:
    """A folder that is empty by then."""
    yield Step(f"remove {path}", path.rmdir)


def system(*words: str) -> None:
    """Run a program of the system.

    Raises:
        BackupmanError: it is not there, or has failed.
    """
    program = shutil.which(words[0], path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")
    if not program:
        raise BackupmanError(f"the program {words[0]} is not there, and it is needed: install it")
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"it ended with {done.returncode}"
        raise BackupmanError(f"`{' '.join(words)}` has failed: {said}")


def installation(host: Host, kind: str, program: Path, given: Path | None) -> Iterator[Step]:
    """What makes Backupman a service; the given config is put where there is none."""
    there = host.at(CONFIG).exists()
    content = given.read_bytes() if given and not there else example()
    yield from _making_account(host)
    yield from _making_folder(host, CONFIG.parent, 0o750)
    yield from _placing(host, CONFIG, content, 0o640, replace=False)
    yield from _letting_read(host, CONFIG)
    yield from _making_folder(host, STATE, 0o700, wholly=True)
    folders = _folders(host.at(CONFIG) if there else given)
    if host.is_live:
        for folder in (folder for folder, written in (folders or {}).items() if written):
            yield from _making_folder(host, folder, 0o700, wholly=True)
    changed = [step for name in KINDS[kind] for step in _placing(host, UNITS / name, unit_text(name, program).encode())]
    service = next(name for name in KINDS[kind] if name.endswith(".service"))
    if len(opened := drop_in(folders or {})) > 1:
        lines = ["# Made by `backupman install-service` from the config; call it again when that has changed.", *opened]
        changed += _placing(host, _drop_in_of(service), ("\n".join(lines) + "\n").encode())
    elif folders is not None:  # what it opened may be gone, and then the service would not start
        changed += _removing(host, _drop_in_of(service))
    yield from changed
    if host.has_systemd():
        unit = KINDS[kind][0]
        if changed:
            yield _reloading()
        if not _is("is-enabled", unit):
            yield Step(f"start {unit} with the machine", lambda: system("systemctl", "enable", "--quiet", unit))
        if folders is not None and not _is("is-active", unit):
            check = ("runuser", "-u", ACCOUNT, "--", str(program), "config", "check", "--quiet", "-c", str(CONFIG))
            yield Step(f"see whether the account {ACCOUNT} can read all that the config names", partial(system, *check))
            yield Step(f"start {unit} now", lambda: system("systemctl", "start", unit))


def _is(question: str, unit: str) -> bool:
    """What systemd says to `is-enabled` or `is-active`."""
    try:
        system("systemctl", question, unit)
    except BackupmanError:
        return False
    return True


def _folders(config: Path | None) -> dict[Path, bool] | None:
    """The folders that a config leads to, and whether it writes there; None where it cannot be loaded here."""
    from backupman.config import load

    if config is None or is_example(config):
        return None
    try:
        found = load(config).config.folders()
    except ConfigError as error:
        typer.echo(f"Here the config cannot be loaded, so the service will not be started: {error.sentence}", err=True)
        return None
    return {Path("/") / folder: written for folder, written in found.items()}


def is_example(config: Path) -> bool:
    """Whether nobody has written a config there yet."""
    return config.is_file() and config.read_bytes() == example()


def _drop_in_of(service: str) -> Path:
    return UNITS / f"{service}.d" / "paths.conf"


def _reloading() -> Step:
    return Step("let systemd read its units again", lambda: system("systemctl", "daemon-reload"))


def installed(host: Host) -> list[str]:
    """The units that are there, of both kinds."""
    names = sorted({name for units in KINDS.values() for name in units})
    return [name for name in names if host.at(UNITS / name).exists()]


def removal(host: Host) -> Iterator[Step]:
    """What undoes an installation; whatever holds data stays, and so does the account that it belongs to."""
    there = installed(host)
    if host.has_systemd():
        for unit in (units[0] for units in KINDS.values() if units[0] in there):
            yield Step(f"stop {unit} for good", partial(system, "systemctl", "disable", "--now", "--quiet", unit))
    for name in there:
        yield from _removing(host, UNITS / name)
        yield from _removing(host, _drop_in_of(name))
    if there and host.has_systemd():
        yield _reloading()
    config, state = host.at(CONFIG), host.at(STATE)
    if is_example(config):
        yield from _removing(host, CONFIG)
    if state.is_dir() and not any(state.iterdir()):
        yield from _removing_folder(state)
    nothing_left = not config.parent.exists() or (is_example(config) and len(list(config.parent.iterdir())) == 1)
    if nothing_left and host.account() and not (state.is_dir() and any(state.iterdir())):
        yield Step(f"remove the account {ACCOUNT}", lambda: system("userdel", ACCOUNT))
