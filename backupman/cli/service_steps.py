"""The changes that `install-service` makes to a machine: each is told before it is made, and none is without need."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer

from backupman.cli.paths import drop_in
from backupman.cli.service_kinds import DAEMON, KINDS, WORKER, Kind, unit_text, words_of
from backupman.errors import BackupmanError, ConfigError

ACCOUNT = "backupman"
UNITS = Path("/etc/systemd/system")
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


def _making_account(host: Host) -> Iterator[Step]:
    """An account that can do nothing but run the service."""
    if host.is_live and not host.account():
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", str(DAEMON.state)]
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


def installation(
    host: Host, kind: Kind, program: Path, given: Path | None, words: Sequence[str] = ()
) -> Iterator[Step]:
    """What makes Backupman a service; the given config is put where there is none.

    The words are put at the end of a worker's command. Without any it keeps those that it has.
    """
    there = host.at(kind.config).exists()
    content = given.read_bytes() if given and not there else kind.example_text()
    yield from _making_account(host)
    yield from _making_folder(host, kind.config.parent, 0o750)
    yield from _placing(host, kind.config, content, 0o640, replace=False)
    yield from _letting_read(host, kind.config)
    yield from _making_folder(host, kind.state, 0o700, wholly=True)
    folders = _folders(kind, host.at(kind.config) if there else given)
    if host.is_live:
        for folder in (folder for folder, written in (folders or {}).items() if written):
            yield from _making_folder(host, folder, 0o700, wholly=True)
    changed: list[Step] = []
    for name in kind.units:
        changed += _placing(host, UNITS / name, unit_text(name, program, words or _words(host, name)).encode())
    if len(opened := drop_in(folders or {}, kind.state)) > 1:
        lines = ["# Made by `backupman install-service` from the config; call it again when that has changed.", *opened]
        changed += _placing(host, _drop_in_of(kind.service), ("\n".join(lines) + "\n").encode())
    elif folders is not None:  # what it opened may be gone, and then the service would not start
        changed += _removing(host, _drop_in_of(kind.service))
    yield from changed
    if host.has_systemd():
        if changed:
            yield RELOADING
        if not _is("is-enabled", kind.unit):
            yield Step(
                f"start {kind.unit} with the machine", lambda: system("systemctl", "enable", "--quiet", kind.unit)
            )
        if folders is not None and not _is("is-active", kind.unit):
            check = ["config", "check", *(["--worker"] if kind == WORKER else []), "--quiet", "-c", str(kind.config)]
            called = partial(system, "runuser", "-u", ACCOUNT, "--", str(program), *check)
            yield Step(f"see whether the account {ACCOUNT} can read all that the config names", called)
            yield Step(f"start {kind.unit} now", lambda: system("systemctl", "start", kind.unit))


def _words(host: Host, name: str) -> list[str]:
    """What an installed unit has at the end of a worker's command."""
    unit = host.at(UNITS / name)
    return words_of(unit.read_text(encoding="utf-8")) if unit.exists() else []


def _is(question: str, unit: str) -> bool:
    """What systemd says to `is-enabled` or `is-active`."""
    try:
        system("systemctl", question, unit)
    except BackupmanError:
        return False
    return True


def _folders(kind: Kind, config: Path | None) -> dict[Path, bool] | None:
    """The folders that a config leads to, and whether it writes there; None where it cannot be loaded here."""
    from backupman.config import load
    from backupman.config.worker import load_worker

    if config is None or is_example(kind, config):
        return None
    try:
        found = (load_worker if kind == WORKER else load)(config).config.folders()
    except ConfigError as error:
        typer.echo(f"Here the config cannot be loaded, so the service will not be started: {error.sentence}", err=True)
        return None
    return {Path("/") / folder: written for folder, written in found.items()}


def is_example(kind: Kind, config: Path) -> bool:
    """Whether nobody has written a config there yet."""
    return config.is_file() and config.read_bytes() == kind.example_text()


def _drop_in_of(service: str) -> Path:
    return UNITS / f"{service}.d" / "paths.conf"


RELOADING = Step("let systemd read its units again", lambda: system("systemctl", "daemon-reload"))


def installed(host: Host, kinds: Sequence[Kind] = KINDS) -> list[str]:
    """The units that are there, of all these kinds."""
    names = sorted({name for kind in kinds for name in kind.units})
    return [name for name in names if host.at(UNITS / name).exists()]


def removal(host: Host, kinds: Sequence[Kind]) -> Iterator[Step]:
    """What undoes the installation of kinds that share a config; other kinds stay.

    Whatever holds data stays too, and so does the account that it belongs to.
    """
    others = [kind for kind in KINDS if kind not in kinds and host.at(UNITS / kind.unit).exists()]
    there = [name for name in installed(host, kinds) if not any(name in other.units for other in others)]
    if host.has_systemd():
        for unit in (kind.unit for kind in kinds if kind.unit in there):
            yield Step(f"stop {unit} for good", partial(system, "systemctl", "disable", "--now", "--quiet", unit))
    for name in there:
        yield from _removing(host, UNITS / name)
        yield from _removing(host, _drop_in_of(name))
    if there and host.has_systemd():
        yield RELOADING
    config, state = host.at(kinds[0].config), host.at(kinds[0].state)
    goes = config if is_example(kinds[0], config) else None
    if goes:
        yield from _removing(host, kinds[0].config)
    if state.is_dir() and not any(state.iterdir()):
        yield from _removing_folder(state)
    kept = [path for path in config.parent.iterdir() if path != goes] if config.parent.exists() else []
    states = {host.at(kind.state) for kind in KINDS}
    kept += [path for folder in states if folder.is_dir() for path in folder.iterdir()]
    if host.account() and not others and not kept:
        yield Step(f"remove the account {ACCOUNT}", lambda: system("userdel", ACCOUNT))
