"""A folder on a WebDAV server, such as Nextcloud's. A ref is the path inside the folder."""

import hashlib
import io
import logging
import re
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal, TypeVar, cast
from urllib.parse import quote, urlsplit

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator

from backupman.drives import PART, Capabilities, Drive, Opened, Stat, Stored, valid_name
from backupman.drives._webdav_client import Missing, Server, Taken, as_folder
from backupman.drives._webdav_read import RemoteObject
from backupman.errors import DriveError, ObjectNotFound
from backupman.registry import Duration

log = logging.getLogger(__name__)

T = TypeVar("T")

_CHUNK = 2**20
_LOCK = f".lock{PART}"


class Webdav(Drive):
    """A folder on a WebDAV server."""

    url: str = Field(min_length=1, description="The address of a folder that is there.")
    folder: str = Field(default="", max_length=200, description="A folder in it; made when it is not there.")
    username: str | None = Field(default=None, description="The account.")
    password: SecretStr | None = Field(default=None, description="Its password; best one for this program alone.")
    auth: Literal["basic", "digest"] = Field(default="basic", description="How the server asks for them.")
    verify: bool | None = Field(
        default=None, description="Read each object back and compare it; default only without TLS."
    )
    verify_tls: bool = Field(default=True, description="`false` trusts any certificate.")
    ca_file: Path | None = Field(default=None, description="Certificates (PEM) to trust instead of the system's.")
    timeout: Duration = Field(default=timedelta(seconds=60), description="How long the server may stay silent.")

    capabilities: ClassVar[Capabilities] = Capabilities(follows=False)

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("should be an address such as https://cloud.example.com/remote.php/dav/files/me")
        if parts.username or parts.password:
            raise ValueError("should hold no password: set username and password")
        return url.rstrip("/")

    @field_validator("folder")
    @classmethod
    def _a_folder(cls, folder: str) -> str:
        try:
            return valid_name("folder", folder.strip("/")) if folder.strip("/") else ""
        except DriveError as error:
            raise ValueError(error.sentence) from error

    @model_validator(mode="after")
    def _whole(self) -> "Webdav":
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: set both or none")
        return self

    def warnings(self) -> "list[str]":
        found = []
        if self.url.startswith("http:") and self.password:
            found.append(f"{self.label}: url is no https address, so that anybody on the way can read the password")
        if not self.verify_tls:
            found.append(f"{self.label}: verify_tls is false, so that anybody can pose as the server")
        return found

    def path(self, name: str) -> str:
        return self._server.url(self._at(name))

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        final, token = self._at(name), secrets.token_hex(4)
        part = f"{final}.{token}{PART}"  # its own for each: two under one name never meet before the end
        with self._server.client() as client:
            if self.retry.call(lambda: self._server.size_of(client, final)) is not None:
                raise self._taken(name)
            if opened:
                opened(token)
            self.retry.call(lambda: self._server.make_folders(client, final.rpartition("/")[0]))
            try:
                stored = self._send(client, reader, part)
                self.retry.call(lambda: self._publish(client, part, final, stored.size))
            except BaseException:
                self._withdraw(part)
                raise
        return Stored(name, stored.size, stored.checksums)

    def open(self, ref: str) -> BinaryIO:
        try:
            remote = RemoteObject(self._server, self._at(ref), self.retry)
        except Missing:
            self.stat(ref)  # says whether it is the object that is missing, or the folder
            raise
        return cast(BinaryIO, io.BufferedReader(remote, _CHUNK))

    def delete(self, ref: str) -> None:
        path = self._at(ref)

        def remove(client: httpx.Client) -> None:
            self._there(client)
            self._server.remove(client, path)

        self._do(remove)

    def stat(self, ref: str) -> Stat:
        path = self._at(ref)

        def ask(client: httpx.Client) -> Stat:
            size = self._server.size_of(client, path)
            if size is None:
                self._there(client)
                raise ObjectNotFound(f"{self.label}: there is no {ref} in {self._place}", permanent=True)
            return Stat(size)

        return self._do(ask)

    def list(self, prefix: str = "") -> Iterator[str]:
        entries = self._do(lambda client: list(self._server.walk(client, self.folder)))
        names = (entry.path.removeprefix(self.folder).lstrip("/") for entry in entries)
        return (name for name in names if name.startswith(prefix) and not name.endswith(PART))

    def find(self, name: str) -> str | None:
        try:
            self.stat(name)
        except ObjectNotFound:
            return None
        return name

    def check(self) -> None:
        name = f".backupman-check-{secrets.token_hex(8)}{PART}"

        def write(client: httpx.Client) -> None:
            probe = self._inside(name) if self._server.is_folder(client, self.folder) else name
            try:
                self._send(client, io.BytesIO(b"backupman"), probe)
            finally:
                self._withdraw(probe)

        self._do(write)

    def abort(self, name: str, session: str | None) -> None:
        final = self._at(name)
        tokens = rf"\.(?:{session or '[0-9a-f]{8}'}{re.escape(PART)}|{re.escape(_LOCK[1:])})"
        ours = re.compile(re.escape(final) + tokens)

        def remove(client: httpx.Client) -> None:
            for entry in self._server.children(client, final.rpartition("/")[0]):
                if ours.fullmatch(entry.path):
                    self._server.remove(client, entry.location)

        self._do(remove)

    def _send(self, client: httpx.Client, reader: BinaryIO, path: str) -> Stat:
        """Everything that the reader gives, in one request; its length is told before where it is known."""
        digest, size = hashlib.sha256(), 0
        failed: BaseException | None = None

        def body() -> Iterator[bytes]:
            nonlocal size, failed
            try:
                while chunk := reader.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
            except BaseException as error:  # noqa: BLE001 - raised below: before the server ends it could make the file
                failed = error  # after we removed it

        headers = {"Content-Type": "application/octet-stream"}
        if reader.seekable():  # many servers take no body whose length is not told
            headers["Content-Length"] = str(reader.seek(0, io.SEEK_END))
            reader.seek(0)
        try:
            self._server.call(client, "PUT", path, long=True, content=body(), headers=headers)
        finally:
            if failed:
                raise failed
        stored = self.retry.call(lambda: self._server.size_of(client, path))
        if stored != size:
            raise DriveError(f"{self.label}: {stored} of {size} bytes are stored in {self._place}")
        if not (self.url.startswith("http:") if self.verify is None else self.verify):
            return Stat(size)
        self._compare(path, digest.hexdigest())
        return Stat(size, {"sha256": digest.hexdigest()})

    def _compare(self, path: str, expected: str) -> None:
        """Read an object back."""
        digest = hashlib.sha256()
        with RemoteObject(self._server, path, self.retry) as stored:
            while chunk := stored.read(_CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != expected:
            raise DriveError(f"{self.label}: {path} was stored differently than it was sent, and was removed")

    def _publish(self, client: httpx.Client, part: str, name: str, size: int) -> None:
        """Give an object its name, never another's.

        Servers look whether a name is free and then move, which two uploads can do at once: making a folder is what
        only one of them can do.
        """
        lock = as_folder(f"{name}{_LOCK}")
        try:
            self._server.call(client, "MKCOL", lock)
        except Taken as error:
            raise DriveError(f"{self.label}: another upload of {name} is ending just now, or has died") from error
        except DriveError:
            self._withdraw(lock)  # perhaps only the answer got lost
            raise
        try:
            there = self._server.size_of(client, name)
            if there is None:
                headers = {"Destination": self._server.url(name), "Overwrite": "F"}
                self._server.call(client, "MOVE", part, long=True, headers=headers)
                there = self._server.size_of(client, name)
                if there != size:
                    raise DriveError(f"{self.label}: {name} was published, and is not whole ({there} of {size} bytes)")
            elif there != size or self._server.size_of(client, part) is not None:  # else an answer of ours got lost
                raise self._taken(name)
        except Taken as error:
            raise self._taken(name) from error
        finally:
            self._withdraw(lock)

    def _withdraw(self, path: str) -> None:
        """Remove what is unfinished, over a connection of its own.

        Folders stay: to remove one is to remove what is in it, and another upload may have begun there just now.
        """
        try:
            self._do(lambda client: self._server.remove(client, path))
        except DriveError as error:
            log.warning("%s; %s stays until the next run removes it", error.sentence, path)

    def _there(self, client: httpx.Client) -> None:
        """A folder that is away must never look like one whose objects are gone."""
        if not self._server.is_folder(client, self.folder):
            raise DriveError(f"{self.label}: {self._place} is not there: make it, or correct url and folder")

    def _taken(self, name: str) -> DriveError:
        return DriveError(f"{self.label}: {name} is already there, and nothing was overwritten", permanent=True)

    def _do(self, work: "Callable[[httpx.Client], T]") -> T:
        """What `work` returns, tried again as the policy says."""

        def attempt() -> T:
            with self._server.client() as client:
                return work(client)

        return self.retry.call(attempt)

    def _at(self, name: str) -> str:
        """Where an object of that name stands, from the server's address."""
        return self._inside(valid_name(self.label, name))

    def _inside(self, path: str) -> str:
        return f"{self.folder}/{path}" if self.folder else path

    @property
    def _place(self) -> str:
        return f"{self.url}/{quote(self.folder)}".rstrip("/")

    @cached_property
    def _server(self) -> Server:
        return Server(
            label=self.label,
            base=self.url,
            auth=self._auth(),
            verify=self._trust(),
            timeout=self.timeout.total_seconds(),
            place={"server": urlsplit(self.url).netloc, "folder": self._place, "user": self.username or "anybody"},
        )

    def _auth(self) -> httpx.Auth | None:
        if self.username is None or self.password is None:
            return None
        kind = httpx.DigestAuth if self.auth == "digest" else httpx.BasicAuth
        return kind(self.username, self.password.get_secret_value())

    def _trust(self) -> ssl.SSLContext | bool:
        if not self.verify_tls or not self.url.startswith("https:"):
            return False
        if not self.ca_file:
            return ssl.create_default_context()
        with suppress(OSError):
            return ssl.create_default_context(cafile=str(self.ca_file))
        raise DriveError(f"{self.label}: ca_file {self.ca_file} holds no certificates that can be read", permanent=True)
