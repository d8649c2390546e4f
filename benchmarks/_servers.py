"""Private PostgreSQL and MariaDB servers that go with the benchmark, reached over their sockets without a password."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _measure import cannot_measure

_START_WITHIN = 60.0
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


@contextlib.contextmanager
def postgres() -> Iterator[Path]:
    """The folder of the socket of a server whose superuser is `postgres`."""
    programs = postgres_programs()
    with _home("postgres") as (folder, account):
        data = str(folder / "data")
        initdb = [
            str(programs / "initdb"),
            "--no-sync",
            "-D",
            data,
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
        ]
        _run([*account, *initdb, "--locale=C.UTF-8"])
        settings = ["listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "max_wal_size=8GB"]
        options = [word for setting in settings for word in ("-c", setting)]
        probe = ["psql", "-h", str(folder), "-U", "postgres", "-c", "SELECT 1"]
        with _running([*account, str(programs / "postgres"), "-D", data, *options], probe, signal.SIGINT):
            yield folder


def postgres_programs() -> Path:
    """The folder of the newest server's programs, pgbench among them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return found[-1] if found else Path(_program("initdb")).parent


@contextlib.contextmanager
def mariadb() -> Iterator[Path]:
    """The socket of a server whose account `root` has no password."""
    with _home("mysql") as (folder, account):
        socket, data = folder / "mysqld.sock", f"--datadir={folder / 'data'}"
        install = [_program("mariadb-install-db"), "--no-defaults", data, f"--tmpdir={folder}", "--skip-test-db"]
        _run([*account, *install, "--auth-root-authentication-method=normal"])
        server = [_program("mariadbd"), "--no-defaults", data, f"--tmpdir={folder}", f"--socket={socket}"]
        server += ["--skip-networking", "--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=0"]
        probe = ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "-e", "SELECT 1"]
        with _running([*account, *server, "--local-infile=1"], probe, signal.SIGTERM):
            yield socket


@contextlib.contextmanager
def _home(name: str) -> Iterator[tuple[Path, list[str]]]:
    """A folder with a name short enough for sockets, and what makes a command run as the server's account."""
    with tempfile.TemporaryDirectory(prefix="bm-") as made:
        folder, account = Path(made), ["setpriv", "--pdeathsig=KILL"]
        folder.chmod(0o755)
        if os.geteuid() == 0:
            try:
                pwd.getpwnam(name)
            except KeyError:
                cannot_measure(f"there is no account {name} to run its server as")
            shutil.chown(folder, name)
            account += [f"--reuid={name}", f"--regid={name}", "--clear-groups"]
        yield folder, account


@contextlib.contextmanager
def _running(argv: list[str], probe: list[str], end: signal.Signals) -> Iterator[None]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0)
        yield
    finally:
        process.send_signal(end)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_WITHIN
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            cannot_measure(f"{process.args!r} did not start")
        time.sleep(0.2)


def _program(name: str) -> str:
    return shutil.which(name, path=_PATH) or cannot_measure(f"{name} is not installed")


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        cannot_measure(f"{argv} ended with {done.returncode}: {done.stderr[-500:]}")
