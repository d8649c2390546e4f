"""A folder in Google Drive, of an account or in a shared drive. A ref is the file's id: names say nothing there."""

import io
import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, cast

from pydantic import Field, field_validator, model_validator

from backupman.drives import Capabilities, Drive, Entry, Opened, Stat, Stored, valid_name
from backupman.drives._endpoint import like
from backupman.drives._google_client import FILE_FIELDS, Client, Connection
from backupman.drives._google_credentials import consent_command, service_credentials, user_credentials
from backupman.drives._google_errors import Door, Forbidden
from backupman.drives._google_folders import Folders
from backupman.drives._google_read import file_reader
from backupman.drives._google_upload import CHUNK_STEP, Sender, Sent, Session
from backupman.errors import BackupmanError, DriveError, ObjectNotFound
from backupman.registry import Size

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

log = logging.getLogger(__name__)

_BUFFER = 2**20
_PROPERTY_BYTES, _PROPERTIES = 124, 30
"""What Google keeps with a file: https://developers.google.com/workspace/drive/api/guides/properties."""

_under_way: set[tuple[str, ...]] = set()
_guard = Lock()


class GoogleDrive(Drive):
    """A folder of a Google account, or of a shared drive."""

    folder: str = Field(
        max_length=500, description="The folder, with `/` between nested ones; made when it is not there."
    )
    client_secret_file: Path | None = Field(
        default=None, description="The OAuth client that was downloaded from Google's console."
    )
    token_file: Path | None = Field(
        default=None, description="Where `backupman auth-google` puts the account's token, and where it is renewed."
    )
    service_account_file: Path | None = Field(
        default=None, description="The key of a service account, instead of client_secret_file and token_file."
    )
    shared_drive_id: str | None = Field(
        default=None, description="The shared drive that holds the folder: what follows `folders/` in its address."
    )
    chunk_size: Size = Field(
        default=16 * 2**20,
        ge=CHUNK_STEP,
        le=2**30,
        description="How much is in memory and sent at once; a multiple of 256KiB.",
    )
    endpoint: Annotated[str, like("https://www.googleapis.com")] | None = Field(
        default=None, description="The API's URL where it is not Google's own."
    )

    capabilities: ClassVar[Capabilities] = Capabilities(parts=True, resumes=True)

    @field_validator("folder")
    @classmethod
    def _a_path(cls, folder: str) -> str:
        if not _steps(folder):
            raise ValueError("should be the name of a folder such as backups, or a path such as backups/databases")
        return folder

    @field_validator("chunk_size")
    @classmethod
    def _in_steps(cls, size: int) -> int:
        if size % CHUNK_STEP:
            raise ValueError("should be a multiple of 256KiB")
        return size

    @model_validator(mode="after")
    def _one_way_in(self) -> "GoogleDrive":
        user = (self.client_secret_file, self.token_file)
        if (self.service_account_file is None) == (None in user) or (self.service_account_file and any(user)):
            raise ValueError("should have client_secret_file and token_file, or service_account_file alone")
        return self

    def warnings(self) -> "list[str]":
        if self.service_account_file and not self.shared_drive_id:
            return [f"{self.label}: a service account has no storage of its own: set shared_drive_id"]
        return []

    def folders(self) -> dict[Path, bool]:
        return super().folders() | ({self.token_file.parent: True} if self.token_file else {})

    def path(self, name: str) -> str:
        return "/".join([*_steps(self.folder), valid_name(self.label, name)])

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        path = self.path(name)
        with self._alone(path), self._connected() as connection:
            return self._upload(connection, reader, path, metadata, opened)

    def resume(
        self, reader: BinaryIO, name: str, metadata: Mapping[str, str], session: str, opened: Opened | None = None
    ) -> Stored:
        path, left = self.path(name), Session.of(session)
        with self._alone(path), self._connected() as connection:
            sender = Sender(connection, self.chunk_size, path)
            with self._nothing_left(connection, sender, left):
                stands = sender.standing(left)
                if isinstance(stands, Mapping):
                    return self._stored(connection, path, left, sender.read_only(reader, stands))
                if stands is not None:
                    return self._stored(connection, path, left, sender.send(left, reader, stands))
            return self._upload(connection, reader, path, metadata, opened)

    def open(self, ref: str) -> BinaryIO:
        size = self.stat(ref).size

        def media(connection: Connection) -> Any:
            return connection.files.get_media(fileId=ref, supportsAllDrives=True)

        return cast(BinaryIO, io.BufferedReader(file_reader(self._client, media, f"file {ref}", size), _BUFFER))

    def delete(self, ref: str) -> None:
        with self._connected() as connection:
            self._delete(connection, ref)

    def stat(self, ref: str) -> Stat:
        with self._connected() as connection:
            return self._stat(connection, ref)

    def list(self, prefix: str = "") -> Iterator[str]:
        return (entry.ref for entry in self.entries(prefix))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        with self._connected() as connection:
            folders = Folders(connection)
            yield from folders.walk(folders.find(_steps(self.folder)), prefix)

    def find(self, name: str) -> str | None:
        with self._connected() as connection:
            return next(iter(_all_of(connection, self.path(name))), None)

    def check(self) -> None:
        """Open an upload session and end it: that needs the right to add files, and stores nothing."""
        with self._connected() as connection:
            folder = Folders(connection).nearest(_steps(self.folder))
            about = {"name": f"backupman-check-{uuid.uuid4().hex}", "parents": [folder]}
            sender = Sender(connection, self.chunk_size, self.folder)
            sender.cancel(sender.begin(_creation(connection, about), ""))

    def abort(self, name: str, session: str | None) -> None:
        if session:
            with self._connected() as connection:
                Sender(connection, self.chunk_size, self.path(name)).cancel(Session.of(session))

    def _upload(
        self, connection: Connection, reader: BinaryIO, path: str, metadata: Mapping[str, str], opened: Opened | None
    ) -> Stored:
        if _all_of(connection, path):
            raise self._taken(path)
        *steps, name = path.split("/")
        folders = Folders(connection)
        file_id = folders.new_id()
        about = {
            "id": file_id,
            "name": name,
            "parents": [folders.make(steps)],
            "mimeType": "application/octet-stream",
            "appProperties": _properties(metadata),
        }
        sender = Sender(connection, self.chunk_size, path)
        session = sender.begin(_creation(connection, about), file_id)
        with self._nothing_left(connection, sender, session):
            if opened:
                opened(str(session))
            return self._stored(connection, path, session, sender.send(session, reader))

    @contextmanager
    def _nothing_left(self, connection: Connection, sender: Sender, session: Session) -> Iterator[None]:
        """When it goes wrong, end the session, and remove its file: only the answer may have got lost."""
        try:
            yield
        except BaseException:
            try:
                sender.cancel(session)
                self._delete(connection, session.file_id)
            except BackupmanError as error:  # what is on its way says more
                log.warning("%s; what is unfinished of it expires in a week", error.sentence)
            raise

    def _stored(self, connection: Connection, path: str, session: Session, sent: Sent) -> Stored:
        """Compare what Google says that it stored with what was sent. Raises DriveError."""
        if set(_all_of(connection, path)) - {session.file_id}:
            raise self._taken(path)
        found = _as_stat(sent.file) if "size" in sent.file else self._stat(connection, session.file_id)
        expected = Stat(sent.size, sent.checksums)
        same = [expected.checksums[name] == value for name, value in found.checksums.items()]
        if found.size != expected.size or not all(same):
            raise DriveError(f"{self.label}: {path} was stored differently than it was sent: {found}, not {expected}")
        return Stored(ref=session.file_id, size=sent.size, checksums=found.checksums)

    def _stat(self, connection: Connection, ref: str) -> Stat:
        request = connection.files.get(fileId=ref, fields=FILE_FIELDS, supportsAllDrives=True)
        file = connection.call(request, f"file {ref}")
        if file.get("trashed"):
            raise ObjectNotFound(f"{self.label}: file {ref} is in the trash of Google Drive", permanent=True)
        return _as_stat(file)

    def _delete(self, connection: Connection, ref: str) -> None:
        try:
            connection.call(connection.files.delete(fileId=ref, supportsAllDrives=True), f"file {ref}")
        except ObjectNotFound:
            return
        except Forbidden:
            if not self.shared_drive_id:
                raise
            # There a manager alone may delete for good; Google empties the trash after 30 days.
            request = connection.files.update(fileId=ref, body={"trashed": True}, supportsAllDrives=True)
            connection.call(request, f"file {ref}")

    def _taken(self, path: str) -> DriveError:
        return DriveError(f"{self.label}: {path} is already there, and nothing was overwritten", permanent=True)

    @contextmanager
    def _alone(self, path: str) -> Iterator[None]:
        """Refuse a second upload of one name: Drive itself would take both."""
        key = (str(self.token_file or self.service_account_file), self.shared_drive_id or "", path)
        with _guard:
            if key in _under_way:
                raise self._taken(path)
            _under_way.add(key)
        try:
            yield
        finally:
            with _guard:
                _under_way.remove(key)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self._client.connected() as connection:
            yield connection

    @cached_property
    def _client(self) -> Client:
        if self.service_account_file:
            mend = f"make a new key for the service account, and put it to {self.service_account_file}"
        else:
            mend = f"run `{consent_command(*self._user_files)}`"
        place = {"label": self.label, "endpoint": self.endpoint or "Google", "mend": mend}
        return Client(Door(place, self.retry), self._credentials, self.endpoint, self.shared_drive_id)

    def _credentials(self) -> "Credentials":
        if self.service_account_file:
            return service_credentials(self.label, self.service_account_file)
        return user_credentials(self.label, *self._user_files)

    @property
    def _user_files(self) -> tuple[Path, Path]:
        assert self.client_secret_file and self.token_file  # noqa: S101 - the validator saw to it
        return self.client_secret_file, self.token_file


def _steps(folder: str) -> list[str]:
    return [step for step in folder.split("/") if step.strip()]


def _all_of(connection: Connection, path: str) -> list[str]:
    """The ids of all files of that path."""
    *steps, name = path.split("/")
    folders = Folders(connection)
    return folders.files(folders.find(steps), name)


def _creation(connection: Connection, about: Mapping[str, Any]) -> Any:
    """The library's request that opens an upload session."""
    from googleapiclient.http import MediaIoBaseUpload

    media = MediaIoBaseUpload(io.BytesIO(), "application/octet-stream", resumable=True)
    return connection.files.create(body=about, media_body=media, fields=FILE_FIELDS, supportsAllDrives=True)


def _properties(metadata: Mapping[str, str]) -> dict[str, str]:
    """What of the metadata Google keeps: short texts, 30 at most."""
    short = {key: value for key, value in metadata.items() if len(f"{key}{value}".encode()) <= _PROPERTY_BYTES}
    return dict(list(short.items())[:_PROPERTIES])


def _as_stat(file: Mapping[str, Any]) -> Stat:
    known = {"sha256": file.get("sha256Checksum"), "md5": file.get("md5Checksum")}
    return Stat(int(file.get("size", 0)), {name: value for name, value in known.items() if value})
