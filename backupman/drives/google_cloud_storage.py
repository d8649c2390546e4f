"""A bucket of Google Cloud Storage as a drive. A ref is the object's name."""

import base64
import io
import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal, cast

from pydantic import Field

from backupman.drives import Capabilities, Drive, Opened, Stat, Stored, valid_name
from backupman.drives._endpoint import like
from backupman.drives._gcs_errors import Door, Forbidden, NameTaken
from backupman.drives._google_client import Api, Client, Connection
from backupman.drives._google_credentials import default_credentials, service_credentials
from backupman.drives._google_read import file_reader
from backupman.drives._google_upload import CHUNK_STEP, Sender, Sent, Session
from backupman.errors import BackupmanError, DriveError, ObjectNotFound, Retained
from backupman.registry import Size

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

log = logging.getLogger(__name__)

_API = Api("storage", "v1", "https://storage.googleapis.com", "objects")
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_FIELDS = "name,size,md5Hash,generation,metadata"
_BUFFER = 2**20
_METADATA_BYTES = 7000

_MARK = "backupman-upload"
"""The object's metadata that tells which upload made it."""


class GoogleCloudStorage(Drive):
    """A bucket, or a prefix in one."""

    bucket: str = Field(min_length=3, max_length=222, description="The bucket, which must exist.")
    prefix: str = Field(default="", max_length=120, description="What stands before every object's name, as a folder.")
    service_account_file: Path | None = Field(
        default=None, description="The key of a service account; default what Google's own tools would use."
    )
    storage_class: str | None = Field(default=None, description="For example NEARLINE; default the bucket's.")
    kms_key: str | None = Field(default=None, description="The full name of the key; default the bucket's.")
    chunk_size: Size = Field(
        default=16 * 2**20,
        ge=CHUNK_STEP,
        le=2**30,
        multiple_of=CHUNK_STEP,
        description="How much is in memory and sent at once; a multiple of 256KiB.",
    )
    deletion: Literal["never"] | None = Field(
        default=None, alias="delete", description="`never` leaves it to the bucket's lifecycle rules to remove objects."
    )
    endpoint: Annotated[str, like("https://storage.googleapis.com")] | None = Field(
        default=None, description="The service's URL where it is not Google's own."
    )

    capabilities: ClassVar[Capabilities] = Capabilities(parts=True, resumes=True)

    def path(self, name: str) -> str:
        return self._place + valid_name(self.label, name)

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        with self._client.connected() as connection:
            return self._upload(connection, reader, self.path(name), metadata, opened)

    def resume(
        self, reader: BinaryIO, name: str, metadata: Mapping[str, str], session: str, opened: Opened | None = None
    ) -> Stored:
        key, left = self.path(name), Session.of(session)
        with self._client.connected() as connection:
            sender = _Sender(connection, self.chunk_size, key)
            with self._nothing_left(connection, sender, left, key):
                stands = sender.standing(left)
                if isinstance(stands, Mapping):
                    return self._stored(connection, key, sender.read_only(reader, stands))
                if stands is not None:
                    return self._stored(connection, key, sender.send(left, reader, stands))
            return self._upload(connection, reader, key, metadata, opened)

    def open(self, ref: str) -> BinaryIO:
        with self._client.connected() as connection:
            about = self._about(connection, ref)
        same = {"bucket": self.bucket, "object": ref, "ifGenerationMatch": about["generation"]}

        def media(connection: Connection) -> Any:
            return connection.files.get_media(**same)

        size = _as_stat(about).size
        return cast(BinaryIO, io.BufferedReader(file_reader(self._client, media, ref, size, (NameTaken,)), _BUFFER))

    def delete(self, ref: str) -> None:
        with self._client.connected() as connection:
            try:
                if self.deletion != "never":
                    connection.call(connection.files.delete(bucket=self.bucket, object=ref), ref)
                    return
                self._about(connection, ref)
            except ObjectNotFound:
                return
            except Forbidden:
                if self.deletion != "never":
                    raise
            raise Retained(f"{self.label}: {ref} is left to the bucket's lifecycle rules", permanent=True)

    def stat(self, ref: str) -> Stat:
        with self._client.connected() as connection:
            return _as_stat(self._about(connection, ref))

    def list(self, prefix: str = "") -> Iterator[str]:
        more: dict[str, str] = {}
        with self._client.connected() as connection:
            while True:
                request = connection.files.list(
                    bucket=self.bucket, prefix=self._place + prefix, fields="items/name,nextPageToken", **more
                )
                with self._bucket_is_there():
                    page = connection.call(request)
                for item in page.get("items", []):
                    yield item["name"]
                if "nextPageToken" not in page:
                    return
                more = {"pageToken": page["nextPageToken"]}

    def check(self) -> None:
        """Open an upload session and end it: that needs the right to create objects, and stores nothing."""
        key = self.path(f"backupman-check-{uuid.uuid4().hex}")
        with self._client.connected() as connection:
            sender = _Sender(connection, self.chunk_size, key)
            with self._bucket_is_there():
                session = sender.begin(self._creation(connection, key, {}), "")
            sender.cancel(session)

    def abort(self, name: str, session: str | None) -> None:
        if session:
            with self._client.connected() as connection:
                _Sender(connection, self.chunk_size, self.path(name)).cancel(Session.of(session))

    def _upload(
        self, connection: Connection, reader: BinaryIO, key: str, metadata: Mapping[str, str], opened: Opened | None
    ) -> Stored:
        try:
            self._about(connection, key)
        except (ObjectNotFound, Forbidden):  # not there, or not ours to ask: the upload itself refuses it too
            pass
        else:
            raise DriveError(f"{self.label}: {key} is already there, and nothing was overwritten", permanent=True)
        mark = uuid.uuid4().hex
        sender = _Sender(connection, self.chunk_size, key)
        with self._bucket_is_there():
            session = sender.begin(self._creation(connection, key, _fitting(metadata) | {_MARK: mark}), mark)
        with self._nothing_left(connection, sender, session, key):
            if opened:
                opened(str(session))
            return self._stored(connection, key, sender.send(session, reader))

    def _creation(self, connection: Connection, key: str, metadata: Mapping[str, str]) -> Any:
        """The library's request that opens an upload session, for an object of a name that nobody has."""
        from googleapiclient.http import MediaIoBaseUpload

        about = {"name": key, "contentType": "application/octet-stream", "metadata": metadata}
        if self.storage_class:
            about["storageClass"] = self.storage_class
        media = MediaIoBaseUpload(io.BytesIO(), "application/octet-stream", resumable=True)
        more = {"kmsKeyName": self.kms_key} if self.kms_key else {}
        return connection.files.insert(
            bucket=self.bucket, body=about, media_body=media, ifGenerationMatch="0", fields=_FIELDS, **more
        )

    @contextmanager
    def _bucket_is_there(self) -> Iterator[None]:
        """A call that is about no object yet: what is not found is the bucket."""
        try:
            yield
        except ObjectNotFound:
            why = f"there is no bucket {self.bucket}: make it, or correct bucket"
            raise DriveError(f"{self.label}: {why}", permanent=True) from None

    @contextmanager
    def _nothing_left(self, connection: Connection, sender: Sender, session: Session, key: str) -> Iterator[None]:
        """When it goes wrong, end the session, and remove its object: only the answer may have got lost."""
        try:
            yield
        except BaseException:
            try:
                sender.cancel(session)
                about = self._about(connection, key)
                if about.get("metadata", {}).get(_MARK) == session.file_id:
                    self._remove(connection, key, about)
            except (ObjectNotFound, Forbidden):
                pass
            except BackupmanError as error:  # what is on its way says more
                log.warning("%s; what is unfinished of it expires in a week", error.sentence)
            raise

    def _stored(self, connection: Connection, key: str, sent: Sent) -> Stored:
        """Compare what Google says that it stored with what was sent; an object that differs is removed."""
        found, expected = _as_stat(sent.file), Stat(sent.size, {"md5": sent.checksums["md5"]})
        if (
            found.size != expected.size
            or found.checksums.get("md5", expected.checksums["md5"]) != expected.checksums["md5"]
        ):
            self._remove(connection, key, sent.file)
            raise DriveError(f"{self.label}: {key} was stored differently than it was sent: {found}, not {expected}")
        return Stored(ref=key, size=sent.size, checksums=found.checksums)

    def _remove(self, connection: Connection, key: str, about: Mapping[str, Any]) -> None:
        """Remove exactly this object, and no later one of its name."""
        request = connection.files.delete(bucket=self.bucket, object=key, ifGenerationMatch=about["generation"])
        try:
            connection.call(request, key)
        except ObjectNotFound:
            return

    def _about(self, connection: Connection, key: str) -> Mapping[str, Any]:
        request = connection.files.get(bucket=self.bucket, object=key, fields=_FIELDS)
        about: Mapping[str, Any] = connection.call(request, key)
        return about

    @property
    def _place(self) -> str:
        """What stands before every object's name."""
        prefix = self.prefix.strip("/")
        return f"{prefix}/" if prefix else ""

    @cached_property
    def _client(self) -> Client:
        if self.service_account_file:
            mend = f"make a new key for the service account, and put it to {self.service_account_file}"
        else:
            mend = "set service_account_file, or give this machine a service account"
        place = {"label": self.label, "endpoint": self.endpoint or "Google", "bucket": self.bucket, "mend": mend}
        return Client(Door(place, self.retry), self._credentials, self.endpoint, api=_API)

    def _credentials(self) -> "Credentials":
        if self.service_account_file:
            return service_credentials(self.label, self.service_account_file, _SCOPE)
        return default_credentials(self.label, _SCOPE)


class _Sender(Sender):
    """Sends an object; by 412 a session says that there is one of that name by now, and not that it is gone."""

    gone = tuple(status for status in Sender.gone if status != 412)


def _fitting(metadata: Mapping[str, str]) -> dict[str, str]:
    """What of the metadata Google keeps: 8 KB in all."""
    taken: dict[str, str] = {}
    left = _METADATA_BYTES
    for name, value in metadata.items():
        left -= len(f"{name}{value}".encode())
        if name and left >= 0:
            taken[name] = value
    return taken


def _as_stat(about: Mapping[str, Any]) -> Stat:
    md5 = about.get("md5Hash")
    return Stat(int(about.get("size", 0)), {"md5": base64.b64decode(md5).hex()} if md5 else {})
