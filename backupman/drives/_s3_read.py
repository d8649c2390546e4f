"""Reads an object of S3 from anywhere in it, and goes on where it was when the connection breaks."""

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backupman.drives._s3_errors import Door, NameTaken
from backupman.errors import DriveError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class ObjectReader(io.RawIOBase):
    """A seekable stream of one object, which stays the one that was opened: raises DriveError when it has changed."""

    def __init__(self, client: "S3Client", door: Door, bucket: str, key: str) -> None:
        self._client: Any = client
        self._door = door
        self._object: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._key = key
        self._position = 0
        self._body: Any = None
        answer = door.call(lambda: self._client.get_object(**self._object), key)
        self._body, self._size = answer["Body"], int(answer["ContentLength"])
        if etag := answer.get("ETag"):
            self._object["IfMatch"] = etag

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; the bytes there are asked for by the next read."""
        position = max(0, {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset)
        if position != self._position:
            self._drop()
            self._position = position
        return position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # Buffer has no name in Python 3.11
        if self._position >= self._size:
            return 0
        try:
            data: bytes = self._door.retry.call(lambda: self._read(len(buffer)))
        except NameTaken as error:
            raise DriveError(
                f"{self._door.label}: {self._key} was replaced while it was read", permanent=True
            ) from error
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()
        super().close()

    def _read(self, size: int) -> bytes:
        try:
            with self._door.explained(self._key):
                if self._body is None:
                    place = f"bytes={self._position}-"
                    self._body = self._client.get_object(**self._object, Range=place)["Body"]
                data: bytes = self._body.read(size)
            if not data:
                raise DriveError(f"{self._door.label}: {self._key} ended after {self._position} of {self._size} bytes")
        except DriveError:
            self._drop()
            raise
        return data

    def _drop(self) -> None:
        if self._body is not None:
            with suppress(OSError):
                self._body.close()
            self._body = None
