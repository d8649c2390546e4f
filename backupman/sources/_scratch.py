"""Throwaway servers for drills: a home that an unprivileged account may enter, and a process that ends with this one.

A server refuses to run as root, so root starts it as somebody who takes himself for an account of the system, and is
nobody to all else: a dump is code, and what that starts must not be let in by another server of the account.

It stays in the session of the process that starts it, and the kernel ends it with that process, so that nothing
outlives a drill that was killed.
"""

import ctypes
import fcntl
import os
import pwd
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from backupman.errors import BackupmanError, RestoreError, SourceError
from backupman.sources._landlock import kept_to
from backupman.sources._process import environment

_START_SECONDS = 120.0
_END_SECONDS = 60.0
_DEATH_SECONDS = 1.0
_LOOK_EVERY = 0.05
_LONGEST = 80
"""Bytes of a folder that a socket still fits into: its whole path may have 107."""

_NOBODYS = range(1_879_048_192, 2**31)
"""User ids that nothing uses (systemd's UIDS-GIDS.md)."""

_ELSEWHERE = "backupman-scratch-"
_LOG_SHOWN = 1500
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_KILLED = "was terminated by signal 9"
"""What PostgreSQL's server says of a process of its own that somebody else has ended."""


class Account(NamedTuple):
    """Whom a server runs as: the kernel's `uid` and `gid`, our own without; `apart` is what it is started by."""

    apart: tuple[str, ...]
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True)
class Home:
    """A folder `path` that belongs to the account."""

    label: str
    path: Path
    account: Account

    def folder(self, name: str) -> Path:
        """A new folder in it that is the account's too."""
        path = self.path / name
        path.mkdir(mode=0o700)
        _give(path, self.account)
        return path

    def run(self, *argv: str | Path) -> None:
        """Run a program of the server to its end.

        Raises:
            RestoreError: it failed; the sentence holds what it said.
        """
        with self._started(argv, subprocess.PIPE) as process:
            said, _ = process.communicate()
        if process.returncode != 0:
            raise self._failed(argv, said.decode(errors="replace"))

    @contextmanager
    def serving(self, argv: Sequence[str | Path], ready: Callable[[], bool], end: signal.Signals) -> Iterator[None]:
        """The server while the `with` lasts, from when `ready` says so on; `end` is the signal that ends it at once.

        Raises:
            RestoreError: it does not start; the sentence holds the end of its log.
            BackupmanError: it was killed meanwhile, so that what failed with it says nothing of the dump.
        """
        log = self.path / "log"
        with log.open("wb") as out, self._started(argv, out.fileno(), end) as process:
            deadline = time.monotonic() + _START_SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise self._failed(argv, log.read_text(errors="replace"))
                time.sleep(_LOOK_EVERY)
            try:
                yield
            except (SourceError, RestoreError) as error:
                with suppress(subprocess.TimeoutExpired):  # its clients hear of its end a moment before we do
                    process.wait(_DEATH_SECONDS)
                if process.poll() != -signal.SIGKILL and _KILLED not in log.read_text(errors="replace"):
                    raise
                raise BackupmanError(
                    f"{self.label}: {Path(argv[0]).name} of the throwaway server was killed, perhaps as the memory did "
                    "not suffice: see the system's log"
                ) from error

    @contextmanager
    def _started(
        self, argv: Sequence[str | Path], out: int, end: signal.Signals = signal.SIGKILL
    ) -> Iterator[subprocess.Popen[bytes]]:
        user = self.account
        # Parted first: what parts it would undo the binding.
        bound = _binding(end) if user.apart else ()
        try:
            with kept_to(self.path, *(Path(words[0]) for words in (user.apart, bound, argv) if words)) as restrict:

                def prepare() -> None:
                    # By ourselves where we can: setpriv(1) ends where capset(2) is forbidden, as in our units.
                    _LIBC.prctl(_PR_SET_PDEATHSIG, end, 0, 0, 0)
                    if restrict:
                        restrict()

                process = subprocess.Popen(
                    [*user.apart, *bound, *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    cwd=self.path,
                    env=environment({"LC_ALL": "C", "HOME": str(self.path), "TMPDIR": str(self.path)}),
                    user=user.uid,
                    group=user.gid,
                    extra_groups=None if user.uid is None else [],
                    preexec_fn=prepare,
                )
        except (OSError, subprocess.SubprocessError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise RestoreError(f"{self.label}: {argv[0]} cannot be started: {why}", permanent=True) from error
        with process:
            try:
                yield process
            finally:
                _end(process, end)

    def _failed(self, argv: Sequence[str | Path], said: str) -> RestoreError:
        words = " ".join(said[-_LOG_SHOWN:].split()) or "it said nothing"
        return RestoreError(f"{self.label}: {Path(argv[0]).name} of the throwaway server failed: {words}")


def account_of(label: str, names: Sequence[str]) -> Account:
    """Whom a server runs as; for root it takes itself for the first of `names` that is there.

    Raises:
        RestoreError: root has none of these accounts.
    """
    if os.geteuid() != 0:
        return Account(_apart(None, "--map-current-user"))
    known = _known(label, names)
    uid = random.choice(_NOBODYS)  # noqa: S311 - no secret: two drills at once shall be two accounts
    if apart := _apart(uid, f"--map-user={known.pw_uid}", f"--map-group={known.pw_gid}"):
        return Account(apart, uid, uid)
    return Account((), known.pw_uid, known.pw_gid)


def _apart(uid: int | None, *mapped: str) -> tuple[str, ...]:
    """What a program is started by so that nothing in a dump reaches a network through it; empty where that cannot be.

    A network namespace of its own has no way out (unshare(1), util-linux 2.38); some containers do not allow one.
    """
    argv = (shutil.which("unshare") or "", "--user", *mapped, "--net", "--")
    try:
        done = subprocess.run(
            [*argv, *_binding(signal.SIGKILL), "true"],
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            env=environment(),
            capture_output=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return argv if done.returncode == 0 else ()


def _binding(end: signal.Signals) -> tuple[str, ...]:
    """What binds a program to the process that starts it; empty where there is none."""
    setpriv = shutil.which("setpriv")
    if setpriv and Path(setpriv).resolve().name == "setpriv":  # BusyBox has one that cannot do it
        return (setpriv, f"--pdeathsig={end.name.removeprefix('SIG')}", "--")
    return ()


def _end(process: subprocess.Popen[bytes], end: signal.Signals) -> None:
    for how in (end, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)


@contextmanager
def home(label: str, folder: Path, accounts: Sequence[str]) -> Iterator[Home]:
    """A new folder below `folder` for a server while the `with` lasts; for root it belongs to the first of `accounts`.

    Where the account cannot get to `folder`, or a socket's name would be too long there, it is a folder of /var/tmp.

    Raises:
        RestoreError: root has none of these accounts.
    """
    account = account_of(label, accounts)
    with ExitStack() as stack:
        if not _fits(folder, account):
            folder = stack.enter_context(_elsewhere())
        path = folder / "server"
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)  # what a drill that was killed has left
        path.mkdir(mode=0o700)
        _give(path, account)
        yield Home(label, path, account)


def _give(path: Path, account: Account) -> None:
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid)


def _known(label: str, names: Sequence[str]) -> pwd.struct_passwd:
    for name in names:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise RestoreError(
        f"{label}: root may not run a server, and there is no account {' or '.join(names)}", permanent=True
    )


def _fits(folder: Path, account: Account) -> bool:
    places = [folder, *folder.absolute().parents]
    return len(os.fsencode(folder.absolute())) <= _LONGEST and (
        account.uid is None or all(place.stat().st_mode & 0o001 for place in places)
    )


def sweep() -> None:
    """Remove what drills that were killed have left in /var/tmp: their locks are free."""
    for left in _common().glob(f"{_ELSEWHERE}*"):
        with suppress(OSError):
            if left.lstat().st_uid != os.geteuid():
                continue  # in another's folder the lock may be a pipe, which nobody ever writes to
            with (left / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)


def _common() -> Path:
    return Path("/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir())  # noqa: S108 - made in it anew


@contextmanager
def _elsewhere() -> Iterator[Path]:
    """A folder of /var/tmp."""
    sweep()
    folder = Path(tempfile.mkdtemp(dir=_common()))
    try:
        with (folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = folder.rename(folder.with_name(f"{_ELSEWHERE}{folder.name}"))  # now others look at the lock
            folder.chmod(0o711)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
