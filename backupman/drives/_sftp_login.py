"""Getting in by SSH: is it the right server, and are we the right account."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backupman.errors import DriveError

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection, SSHKey

_CONNECT_SECONDS = 10.0
_KEEPALIVE_SECONDS = 30.0

_KINDS = ("ed25519", "ecdsa")
"""As OpenSSH's tools call the kinds of keys; any other is `rsa`."""
FAST = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""First of all ciphers: measured four times as fast as the one that asyncssh puts first."""


@dataclass(frozen=True, repr=False)
class Login:
    """Everything that a connection needs; `timeout` in seconds."""

    label: str
    host: str
    port: int
    user: str
    password: str | None
    key_file: Path | None
    key_passphrase: str | None
    host_key: str | None
    known_hosts: Path | None
    timeout: float

    async def connect(self) -> "SSHClientConnection":
        """A connection to the server whose key is known.

        Raises:
            DriveError: the key is not the known one, or key_file or known_hosts cannot be read.
            asyncssh.Error, OSError: anything else.
        """
        import asyncssh

        trusted = self._trusted()
        shown: list[SSHKey] = []

        class Client(asyncssh.SSHClient):
            """Called with a key that is not trusted; there is nobody to ask."""

            def validate_host_public_key(self, host: str, addr: str, port: int, key: "SSHKey") -> bool:
                shown.append(key)
                return False

        try:
            return await asyncssh.connect(
                self.host,
                self.port,
                username=self.user,
                known_hosts=trusted,
                client_factory=Client,
                config=None,
                connect_timeout=min(_CONNECT_SECONDS, self.timeout),
                login_timeout=self.timeout,
                keepalive_interval=min(_KEEPALIVE_SECONDS, self.timeout),
                encryption_algs=FAST,
                compression_algs=None,
                **self._credentials(),
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise self._not_known(shown, trusted, str(error)) from error

    def _credentials(self) -> dict[str, Any]:
        """What proves who we are; without settings asyncssh takes the agent, then the usual files."""
        import asyncssh

        if self.password is not None:
            return {"password": self.password, "client_keys": None, "agent_path": None}
        if self.key_file is None:
            return {}
        try:
            key = asyncssh.read_private_key(self.key_file, self.key_passphrase)
        except OSError as error:
            raise DriveError(
                f"{self.label}: key_file {self.key_file} cannot be read: {error.strerror}", permanent=True
            ) from error
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            hint = "key_passphrase" if self.key_passphrase else "key_file, or set key_passphrase"
            said = str(error).rstrip(".")
            raise DriveError(
                f"{self.label}: key_file {self.key_file} cannot be used ({said}): correct {hint}", permanent=True
            ) from error
        return {"client_keys": [key], "agent_path": None}

    def _trusted(self) -> Any:
        """The server's key, or the file with the keys of known servers, as asyncssh takes it."""
        import asyncssh

        if self.host_key:
            try:
                return [asyncssh.import_public_key(self.host_key)], [], []
            except asyncssh.KeyImportError as error:
                raise DriveError(
                    f"{self.label}: host_key is no key that can be used ({error})", permanent=True
                ) from error
        if self.known_hosts and not self.known_hosts.is_file():
            raise DriveError(f"{self.label}: there is no known_hosts {self.known_hosts}", permanent=True)
        file = self.known_hosts or Path("~/.ssh/known_hosts").expanduser()
        return str(file) if file.is_file() else b""

    def _not_known(self, shown: "list[SSHKey]", trusted: Any, said: str) -> DriveError:
        """The error of a server whose key is another than the known one, or that has none that is known."""
        if not shown:
            return DriveError(f"{self.label}: the host key of {self.host} cannot be trusted ({said})", permanent=True)
        key = shown[-1]
        known = self._is_known(trusted)
        where = "host_key" if self.host_key else str(self.known_hosts or "~/.ssh/known_hosts")
        what = (
            f"{self.host}:{self.port} shows another host key than {where} holds: somebody may pose as it"
            if known
            else f"the host key of {self.host}:{self.port} is not known"
        )
        kind = next((kind for kind in _KINDS if kind in key.get_algorithm()), "rsa")
        return DriveError(
            f"{self.label}: {what}. It is {key.get_algorithm()} {key.get_fingerprint()}: if `ssh-keygen -lf "
            f"/etc/ssh/ssh_host_{kind}_key.pub` prints the same on the server, set host_key to the line that "
            f"`ssh-keyscan -t {kind} -p {self.port} {self.host}` prints here",
            permanent=True,
        )

    def _is_known(self, trusted: Any) -> bool:
        import asyncssh

        with contextlib.suppress(ValueError, OSError):
            return bool(asyncssh.match_known_hosts(trusted, self.host, "", self.port)[0])
        return False
