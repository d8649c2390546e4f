"""A folder of another machine, over SFTP: whole files under their own name, or nothing. A ref is the path inside it."""

import io
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from posixpath import basename, dirname, join
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from pydantic import Field, SecretStr, field_validator, model_validator

from backupman.drives import PART, Drive, Opened, Stat, Stored, valid_name
from backupman.drives import _sftp_files as files
from backupman.drives._sftp_errors import explain, full
from backupman.drives._sftp_login import Login
from backupman.drives._sftp_session import Session
from backupman.errors import DriveError, ObjectNotFound
from backupman.registry import Duration

if TYPE_CHECKING:
    from asyncssh import SFTPClientFile

log = logging.getLogger(__name__)

T = TypeVar("T")

_LITTLE_ROOM = 2**20
_LONG = 10
"""What may take the server longer than one answer: a flush of a large file, a long list."""
_PUBLIC_KEY = re.compile(r"(?:\S+ )?((?:ssh|ecdsa|sk)-\S+ AAAA\S+)(?: .*)?")


class Sftp(Drive):
    """A folder in which an account may write over SFTP."""

    host: str = Field(min_length=1, description="The server.")
    port: int = Field(default=22, ge=1, le=65535, description="Its port.")
    user: str = Field(min_length=1, description="The account.")
    password: SecretStr | None = Field(default=None, description="Its password, if it has no key.")
    key_file: Path | None = Field(
        default=None, description="Its private key. Without it and without password: the agent, then `~/.ssh/id_*`."
    )
    key_passphrase: SecretStr | None = Field(default=None, description="The passphrase of key_file.")
    host_key: str | None = Field(default=None, description="The server's public key, a line that `ssh-keyscan` prints.")
    known_hosts: Path | None = Field(
        default=None, description="A file with the server's public key instead; default `~/.ssh/known_hosts`."
    )
    folder: str = Field(
        min_length=1, description="Where the objects stand; made when it is not there. A relative one counts from home."
    )
    timeout: Duration = Field(default=timedelta(seconds=60), description="How long the server may stay silent.")

    @field_validator("host_key")
    @classmethod
    def _a_key(cls, line: str | None) -> str | None:
        if not line:
            return None
        if not (found := _PUBLIC_KEY.fullmatch(line.strip())):
            raise ValueError("should be a public key such as: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA…")
        return found[1]

    @model_validator(mode="after")
    def _whole(self) -> "Sftp":
        if self.password and self.key_file:
            raise ValueError("set password or key_file, not both")
        if self.key_passphrase and not self.key_file:
            raise ValueError("key_passphrase needs the key_file that it belongs to")
        if self.host_key and self.known_hosts:
            raise ValueError("set host_key or known_hosts, not both")
        return self

    def path(self, name: str) -> str:
        return join(self._root, valid_name(self.label, name))

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        final, token = self.path(name), secrets.token_hex(4)
        part = _part(final, token)
        with self.retry.call(self._connected) as session:
            if session.run(files.size_of(session.sftp, final)) is not None:  # the rename is what holds
                raise self._taken(final)
            if opened:
                opened(token)
            file, made = session.run(files.create(session.sftp, part), patience=3)
            try:
                size = self._fill(session, file, part, reader)
                self._publish(session, part, final, size)
            except BaseException:
                self._withdraw(session, part, made)
                raise
        return Stored(ref=name, size=size)

    def open(self, ref: str) -> BinaryIO:
        try:
            remote = files.RemoteFile(self.label, self.path(ref), self._connected, self.retry)
        except DriveError:
            self.stat(ref)  # says whether it is the object that is missing, or the folder
            raise
        return cast(BinaryIO, io.BufferedReader(remote, files.CHUNK))

    def delete(self, ref: str) -> None:
        path = self.path(ref)

        def remove(session: Session) -> None:
            self._there(session)
            session.run(files.remove(session.sftp, path))
            session.run(files.remove_folders(session.sftp, self._between(path)))

        self._do(remove)

    def stat(self, ref: str) -> Stat:
        path = self.path(ref)

        def ask(session: Session) -> Stat:
            size = session.run(files.size_of(session.sftp, path))
            if size is None:
                self._there(session)
                raise ObjectNotFound(f"{self.label}: there is no {ref} in {self._root}", permanent=True)
            return Stat(size)

        return self._do(ask)

    def list(self, prefix: str = "") -> Iterator[str]:
        names = self._do(lambda session: session.run(files.walk(session.sftp, self._root), patience=_LONG))
        return (name for name in names if name.startswith(prefix) and not name.endswith(PART))

    def find(self, name: str) -> str | None:
        try:
            self.stat(name)
        except ObjectNotFound:
            return None
        return name

    def check(self) -> None:
        probe = join(self._root, f".backupman-check-{secrets.token_hex(8)}{PART}")

        def write(session: Session) -> None:
            file, made = session.run(files.create(session.sftp, probe))
            try:
                self._fill(session, file, probe, io.BytesIO(b"backupman"))
            finally:
                self._withdraw(session, probe, made)

        self._do(write)

    def abort(self, name: str, session: str | None) -> None:
        final = self.path(name)
        ours = re.compile(re.escape(_part(basename(final), "")).replace(r"\.\.", rf"\.{session or '[0-9a-f]{8}'}\."))

        def remove(connection: Session) -> None:
            run, sftp = connection.run, connection.sftp
            if run(sftp.isdir(dirname(final))):
                for name in filter(ours.fullmatch, map(str, run(sftp.listdir(dirname(final))))):
                    run(files.remove(sftp, join(dirname(final), name)))
                run(files.remove_folders(sftp, self._between(final)))

        self._do(remove)

    @property
    def _root(self) -> str:
        return self.folder.removeprefix("~/").rstrip("/") or "/"

    def _between(self, path: str) -> Sequence[str]:
        """The folders between the drive's own and a file, outermost first."""
        folders = path.removeprefix(self._root).strip("/").split("/")[:-1]
        return [join(self._root, *folders[:depth]) for depth in range(1, len(folders) + 1)]

    def _there(self, session: Session) -> None:
        """A disk that is away must never look like one whose objects are gone."""
        if not session.run(session.sftp.isdir(self._root)):
            raise DriveError(f"{self.label}: {self._root} is not there: mount its disk, make it, or correct folder")

    def _fill(self, session: Session, file: "SFTPClientFile", path: str, reader: BinaryIO) -> int:
        """Everything that the reader gives, down to the server's disk; its size."""
        try:
            size = files.write(session, file, reader)
            stored = session.run(files.finish(session.sftp, file, path), patience=_LONG)
        except DriveError as error:
            if not error.permanent and self._is_full(session):
                raise full(self.label, self._place) from error
            raise
        if stored != size:
            raise DriveError(f"{self.label}: {stored} of {size} bytes stand on the disk of {self._root}")
        return size

    def _is_full(self, session: Session) -> bool:
        """Whether a failure without a reason has this one."""
        try:
            disk = session.run(session.sftp.statvfs(self._root))
        except DriveError:
            return False
        return disk.bavail * disk.frsize < _LITTLE_ROOM

    def _publish(self, session: Session, part: str, final: str, size: int) -> None:
        """Give a finished file its name, never another's: a plain rename of SFTP refuses one that is taken."""
        try:
            session.run(session.sftp.rename(part, final))
        except DriveError as failed:
            error = failed
            self._do(lambda fresh: self._publish_again(fresh, part, final, size, error))

    def _publish_again(self, session: Session, part: str, final: str, size: int, error: DriveError) -> None:
        """After a rename that failed, or whose answer got lost."""
        waiting = session.run(files.size_of(session.sftp, part))
        there = session.run(files.size_of(session.sftp, final))
        if waiting is None and there == size:
            return
        if there is not None:
            raise self._taken(final) from error
        if waiting is None:
            raise error
        session.run(session.sftp.rename(part, final))

    def _withdraw(self, session: Session, part: str, made: Sequence[str]) -> None:
        """Remove an unfinished file, over a connection of its own if that one has broken."""

        def remove(connection: Session) -> None:
            connection.run(files.remove(connection.sftp, part))
            connection.run(files.remove_folders(connection.sftp, made))

        try:
            try:
                remove(session)
            except DriveError:
                self._do(remove)
        except DriveError as error:
            log.warning("%s; %s stays until the next run removes it", error.sentence, part)

    def _taken(self, final: str) -> DriveError:
        return DriveError(f"{self.label}: {final} is already there, and nothing was overwritten", permanent=True)

    def _do(self, work: "Callable[[Session], T]") -> T:
        """What `work` returns with a connection of its own, tried again as the policy says."""

        def attempt() -> T:
            with self._connected() as session:
                return work(session)

        return self.retry.call(attempt)

    def _connected(self) -> Session:
        try:
            import asyncssh  # noqa: F401 - here it is missed in time for a sentence
        except ImportError as error:
            raise DriveError(
                f"{self.label}: SFTP needs a package that is not installed: pip install 'backupman[sftp]'",
                permanent=True,
            ) from error
        login = Login(
            label=self.label,
            host=self.host,
            port=self.port,
            user=self.user,
            password=_revealed(self.password),
            key_file=self.key_file,
            key_passphrase=_revealed(self.key_passphrase),
            host_key=self.host_key,
            known_hosts=self.known_hosts,
            timeout=self.timeout.total_seconds(),
        )
        return Session(f"sftp-{self.label}", login.connect, self.timeout.total_seconds(), self._explained)

    @property
    def _place(self) -> Mapping[str, str]:
        """What the sentences of errors may name."""
        used = "password" if self.password else "key_file" if self.key_file else "password or key_file, or the agent"
        return {
            "server": f"{self.host}:{self.port}",
            "user": self.user,
            "folder": self._root,
            "credentials": used,
        }

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DriveError as error:
            raise DriveError(self.redact(error.sentence), permanent=error.permanent) from error
        except Exception as error:
            if (found := explain(error, self.label, self._place)) is None:
                raise
            raise DriveError(self.redact(found.sentence), permanent=found.permanent) from error


def _part(final: str, token: str) -> str:
    """The name of an unfinished upload, its own for each: two under one name never meet before the end."""
    return f"{final}.{token}{PART}"


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
