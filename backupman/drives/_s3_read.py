"""Reads an object of S3 from anywhere in it, and goes on where it was when the connection breaks."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backupman.drives._reading import ObjectStream
from backupman.drives._s3_errors import Door, NameTaken
from backupman.errors import DriveError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class ObjectReader(ObjectStream):
    """A seekable stream of one object, which stays the one that was opened: raises DriveError when it has changed."""

    def __init__(self, client: "S3Client", door: Door, bucket: str, key: str) -> None:
        self._client: Any = client
        self._door = door
        self._object: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._key = key
        self._body: Any = None
        answer = door.call(lambda: self._client.get_object(**self._object), key)
        self._body, self._end = answer["Body"], int(answer["ContentLength"])
        if etag := answer.get("ETag"):
            self._object["IfMatch"] = etag

    @property
    def _size(self) -> int:
        return self._end

    def _moved(self) -> None:
        self._drop()

    def _chunk(self, wanted: int) -> bytes:
        try:
            data: bytes = self._door.retry.call(lambda: self._read(wanted))
        except NameTaken as error:
            raise DriveError(
                f"{self._door.label}: {self._key} was replaced while it was read", permanent=True
            ) from error
        return data

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
                raise DriveError(f"{self._door.label}: {self._key} ended after {self._position} of {self._end} bytes")
        except DriveError:
            self._drop()
            raise
        return data

    def _drop(self) -> None:
        if self._body is not None:
            with suppress(OSError):
                self._body.close()
            self._body = None
