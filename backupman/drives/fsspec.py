"""A folder on any filesystem that fsspec knows. A ref is the object's name, as it is spelled there."""

import io
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, ClassVar, cast
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from backupman.drives import PART, Capabilities, Drive, Opened, Stat, Stored, valid_name
from backupman.drives._fsspec_place import Door, Place, spelled
from backupman.drives._ranges import RangeReader
from backupman.errors import DriveError, ObjectNotFound
from backupman.registry import Size

_BUFFER = 2**20

_under_way: set[tuple[str, str]] = set()
_guard = Lock()


class Fsspec(Drive):
    """A folder on any filesystem that fsspec knows."""

    url: str = Field(description="The folder, for example `ftp://nas.example.com/backups`; made when it is not there.")
    options: dict[str, Any] = Field(default={}, description="What the filesystem takes beside its URL.")
    secret_options: dict[str, SecretStr] = Field(default={}, description="The same, for passwords and keys.")
    verify: bool = Field(default=False, description="Read each object back before it gets its name.")
    block_size: Size = Field(
        default=8 * 2**20, ge=64 * 2**10, le=2**30, description="How much is in memory and sent at once."
    )

    capabilities: ClassVar[Capabilities] = Capabilities(follows=False)

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        scheme, separator, _ = url.partition("://")
        if not separator or not scheme or "::" in url:
            raise ValueError("should be a URL such as ftp://nas.example.com/backups, without `::`")
        if urlsplit(url).password is not None:
            raise ValueError("should hold no password: put it into secret_options")
        if scheme in ("http", "https"):
            raise ValueError("cannot be written to by http: for a WebDAV server use provider: webdav")
        return url

    def folders(self) -> dict[Path, bool]:
        here = urlsplit(self.url)
        return {Path(here.path): True} if here.scheme in ("file", "local") else {}

    def path(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{spelled(valid_name(self.label, name))}"

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        ref = spelled(valid_name(self.label, name))
        place = self._place()
        place.check_moves()
        with self._alone(ref):
            self._refuse_taken(place, ref)
            place.make_folder_of(ref)
            try:
                size, digest = self._write(place, ref + PART, reader)
                self._compare(place, ref + PART, size, digest)
                self._refuse_taken(place, ref)
                place.move(ref + PART, ref)
            except BaseException:
                with suppress(DriveError):  # what is on its way says more
                    self._place().remove(ref + PART)
                raise
        return Stored(ref=ref, size=size)

    def open(self, ref: str) -> BinaryIO:
        place = self._place()
        with place.there():
            size = place.size(ref)
        return cast(BinaryIO, io.BufferedReader(RangeReader(size, lambda *part: place.read(ref, *part)), _BUFFER))

    def delete(self, ref: str) -> None:
        place = self._place()
        with suppress(ObjectNotFound), place.there():
            place.remove(ref)

    def stat(self, ref: str) -> Stat:
        place = self._place()
        with place.there():
            return Stat(place.size(ref))

    def list(self, prefix: str = "") -> Iterator[str]:
        start = spelled(prefix)
        return (ref for ref in self._place().walk() if ref.startswith(start))

    def find(self, name: str) -> str | None:
        ref = spelled(valid_name(self.label, name))
        return ref if self._place().is_there(ref) else None

    def check(self) -> None:
        """Write a small file, give it its name, and remove it: nothing less shows that the filesystem can."""
        name = f"backupman-check-{uuid.uuid4().hex}"
        self.delete(self.upload(io.BytesIO(b"backupman"), name, {}).ref)

    def abort(self, name: str, session: str | None) -> None:
        with suppress(ObjectNotFound):
            self._place().remove(spelled(valid_name(self.label, name)) + PART)

    def _write(self, place: Place, ref: str, reader: BinaryIO) -> tuple[int, str]:
        """Everything that the reader gives; its size and hash."""
        size, digest = 0, sha256()
        file = place.writer(ref, self.block_size)
        try:
            while data := reader.read(min(self.block_size, 2**20)):
                with place.door.explained(ref):
                    file.write(data)
                size += len(data)
                digest.update(data)
        except BaseException:
            with suppress(Exception):
                file.close()
            raise
        with place.door.explained(ref):
            file.close()
        return size, digest.hexdigest()

    def _compare(self, place: Place, ref: str, size: int, digest: str) -> None:
        if (found := place.size(ref)) != size:
            raise DriveError(f"{self.label}: {ref} holds {found} bytes, and {size} were sent; it was removed")
        if not self.verify:
            return
        read, position = sha256(), 0
        while position < size:
            read.update(place.read(ref, position, end := min(position + self.block_size, size)))
            position = end
        if read.hexdigest() != digest:
            raise DriveError(f"{self.label}: {ref} holds other bytes than were sent; it was removed")

    def _refuse_taken(self, place: Place, ref: str) -> None:
        if place.is_there(ref):
            raise DriveError(f"{self.label}: {ref} is already there, and nothing was overwritten", permanent=True)

    @contextmanager
    def _alone(self, ref: str) -> Iterator[None]:
        """Refuse a second upload of one name: most filesystems would let it overwrite the first."""
        key = (self.url, ref)
        with _guard:
            if key in _under_way:
                raise DriveError(f"{self.label}: {ref} is already there, and nothing was overwritten", permanent=True)
            _under_way.add(key)
        try:
            yield
        finally:
            with _guard:
                _under_way.remove(key)

    def _place(self) -> Place:
        try:
            import fsspec as _  # noqa: F401 - only whether it is there
        except ImportError as error:
            raise DriveError(
                f"{self.label}: fsspec is not installed: pip install 'backupman[fsspec]'", permanent=True
            ) from error
        secrets = {name: secret.get_secret_value() for name, secret in self.secret_options.items()}
        return Place(Door({"label": self.label}, self.retry, self.redact), self.url, self.options | secrets)
