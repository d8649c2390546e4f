"""How one object gets to S3: in one request, or in parts of our own that several threads send side by side.

The SDK's own transfer manager buffers about ten parts of a stream whatever is configured, and hides the upload's id.
Every request carries a checksum that the server verifies before it answers; what it then says that it stored is
compared once more. The ETag is never asked whether an object is whole: with SSE-KMS it is no hash of the content.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO

from backupman.drives import Opened, Stat
from backupman.drives._parts import TooManyParts, read_part, send_parts, workers
from backupman.drives._s3_errors import Door, NameTaken, Unsupported, UploadGone
from backupman.drives._s3_parts import MAX_PARTS, Body, Checksum, Held, Part, Parts, agree, stored_checksums
from backupman.errors import BackupmanError, DriveError, ObjectNotFound

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sender:
    """Sends one object. `settings` are the members of the SDK's calls that make it (metadata, class, encryption)."""

    client: "S3Client"
    door: Door
    bucket: str
    key: str
    checksum: Checksum
    settings: Mapping[str, Any]
    head: Callable[[], Stat]
    _stop: Event = field(default_factory=Event)

    def send(self, reader: BinaryIO, parts: Parts, opened: Opened | None) -> Stat:
        """Everything that the reader gives: in one request if it is smaller than a part."""
        self._refuse_taken()
        first = read_part(reader, parts.size)
        if len(first) < parts.size:
            return self._send_whole(first)
        waiting = [first]
        del first  # from here on a part is in memory only until it was sent
        upload_id = self._begin(**self._algorithm)
        with self._workers(upload_id, parts) as pool:
            if opened:
                opened(upload_id)
            return self._complete(upload_id, self._send_all(pool, upload_id, waiting, reader, parts, {}))

    def resume(self, reader: BinaryIO, parts: Parts, upload_id: str) -> Stat | None:
        """Go on with the upload of a dead process; None if it has to begin anew, and nothing was read.

        All is read and cut as before. A part that the server holds is not sent again if it is of the same bytes.
        """
        with self._workers(upload_id, parts) as pool:
            self._refuse_taken()
            held = self._held(upload_id)
            if held is None:
                return None
            return self._complete(upload_id, self._send_all(pool, upload_id, [], reader, parts, held))

    def _send_whole(self, data: bytes) -> Stat:
        digest = self.checksum.digest(data)
        expected = Stat(len(data), {self.checksum.name: digest.hex()})
        # A bucket that locks what it takes wants to be told the algorithm too.
        carried = {**self._algorithm, **self.checksum.carried(digest), **self.settings}

        def put(more: Mapping[str, str]) -> Any:
            return self._client.put_object(**self._object, Body=Body(data), **carried, **more)

        answer = self._create(put, expected)
        self._confirm(expected, answer)
        return expected

    def _refuse_taken(self) -> None:
        """Notice an object of that name before all is sent; the write itself refuses it too, where the server can."""
        try:
            self.door.retry.call(self.head)
        except DriveError as error:
            if error.permanent:  # not there, or not ours to ask
                return
            raise
        raise DriveError(f"{self.door.label}: {self.key} is already there, and nothing was overwritten", permanent=True)

    @contextmanager
    def _workers(self, upload_id: str, parts: Parts) -> Iterator[ThreadPoolExecutor]:
        """Threads for the parts of a multipart upload, which is aborted whatever goes wrong."""
        try:
            with workers(parts.concurrency, f"s3-{self.door.label}", self._stop) as pool:
                yield pool
        except BaseException:
            self._abort_after_failure(upload_id)
            raise

    def _held(self, upload_id: str) -> dict[int, Held] | None:
        """The parts that the server holds, by number; None if the upload is gone, or is of no use and was aborted."""
        pages = self._client.get_paginator("list_parts").paginate(**self._object, UploadId=upload_id)
        try:
            found = self._call(lambda: list(pages))
        except UploadGone:
            return None
        except DriveError as error:
            if not error.permanent:
                raise
            found = []  # not ours to ask
        if not found or found[0].get("ChecksumAlgorithm", self.checksum.algorithm) != self.checksum.algorithm:
            self._abort_after_failure(upload_id)
            return None
        return {part["PartNumber"]: Held.of(part) for page in found for part in page.get("Parts", [])}

    def _send_all(
        self,
        pool: ThreadPoolExecutor,
        upload_id: str,
        waiting: list[bytes],
        reader: BinaryIO,
        parts: Parts,
        held: Mapping[int, Held],
    ) -> list[Part]:
        """Read the parts in order and send them side by side; what was sent, in order."""

        def send(number: int, data: bytes) -> Part:
            return self._send_part(upload_id, number, data, held.get(number))

        try:
            return send_parts(pool, reader, waiting, parts.sizes(), parts.at_once, send)
        except TooManyParts:
            sentence = f"{self.door.label}: {self.key} needs more than {MAX_PARTS} parts: set a larger part_size"
            raise DriveError(sentence, permanent=True) from None

    def _send_part(self, upload_id: str, number: int, data: bytes, held: Held | None) -> Part:
        digest = self.checksum.digest(data)
        carried = self.checksum.carried(digest)
        if held and held.is_of(data, self.checksum, digest):
            return Part(number, len(data), held.etag, digest, carried)

        def attempt() -> Any:
            if self._stop.is_set():
                raise DriveError(f"{self.door.label}: the upload of {self.key} was given up", permanent=True)
            with self.door.explained(self.key):
                return self._client.upload_part(
                    **self._object, UploadId=upload_id, PartNumber=number, Body=Body(data), **carried
                )

        answer = self.door.retry.call(attempt, sleep=self._stop.wait)
        return Part(number, len(data), str(answer["ETag"]), digest, carried)

    def _complete(self, upload_id: str, sent: list[Part]) -> Stat:
        digest = self.checksum.digest(b"".join(part.digest for part in sent))
        size = sum(part.size for part in sent)
        expected = Stat(size, {f"{self.checksum.name}-parts": f"{digest.hex()}-{len(sent)}"})
        listed = [
            {"PartNumber": part.number, "ETag": part.etag, **(part.carried if self.checksum.algorithm else {})}
            for part in sent
        ]

        def complete(more: Mapping[str, str]) -> Any:
            return self._client.complete_multipart_upload(
                **self._object, UploadId=upload_id, MultipartUpload={"Parts": listed}, **more
            )

        self._confirm(expected, self._create(complete, expected))
        return expected

    def _create(self, send: Callable[[Mapping[str, str]], Any], expected: Stat) -> Mapping[str, Any]:
        """Make the object visible, never in another's place; what the server answered.

        When an answer gets lost, the next try finds the name taken or the upload gone: it was ours if all that the
        server tells is equal, as nothing stood there before the first try.
        """
        tries = 0
        unless_taken = {"IfNoneMatch": "*"}

        def attempt() -> Any:
            nonlocal tries
            tries += 1
            try:
                with self.door.explained(self.key):
                    return send(unless_taken)
            except Unsupported:
                if not unless_taken:
                    raise
                unless_taken.clear()
                with self.door.explained(self.key):
                    return send({})
            except (NameTaken, UploadGone):
                if tries > 1 and self._is_there(expected):
                    return {}
                raise

        answer: Mapping[str, Any] = self.door.retry.call(attempt)
        return answer

    def _is_there(self, expected: Stat) -> bool:
        try:
            stat = self.door.retry.call(self.head)
        except DriveError:
            return False
        return stat.size == expected.size and agree(stat.checksums, expected.checksums) is not False

    def _confirm(self, expected: Stat, answer: Mapping[str, Any]) -> None:
        """Compare what the server says it stored; an object that differs is removed.

        A key that may only put objects cannot ask. The server has verified the checksum of every request by then.
        """
        stored = Stat(expected.size, stored_checksums(answer))
        verdict = agree(stored.checksums, expected.checksums)
        if verdict is not False:
            try:
                stored = self.door.retry.call(self.head)
            except ObjectNotFound as error:
                raise DriveError(f"{self.door.label}: {self.key} was stored, and is not there") from error
            except DriveError as error:
                if verdict or error.permanent:
                    return
                raise
            verdict = agree(stored.checksums, expected.checksums)
        if verdict is False or stored.size != expected.size:
            raise self._removed(expected, stored, answer.get("ETag"))

    def _removed(self, expected: Stat, stored: Stat, etag: str | None) -> DriveError:
        """The error of an object that is not what was sent, after it was removed.

        Some servers know no `If-None-Match`: two that use one name at once must not remove what the other has put.
        """
        why = f"{self.door.label}: {self.key} was stored differently than it was sent: {stored} instead of {expected}"
        try:
            if etag and self._call(lambda: self._client.head_object(**self._object)).get("ETag") != etag:
                return DriveError(f"{why}; it stays, as somebody else has put it there since", permanent=True)
            self._call(lambda: self._client.delete_object(**self._object))
        except DriveError as error:
            return DriveError(f"{why}; it could not be removed: {error.sentence}", permanent=True)
        return DriveError(f"{why}; it was removed")

    def _begin(self, **about: str) -> str:
        """Open a multipart upload; its id."""
        answer = self._call(
            lambda: self._client.create_multipart_upload(**self._object, **about, **self.settings),
        )
        return str(answer["UploadId"])

    def _abort_after_failure(self, upload_id: str) -> None:
        try:
            self.abort(upload_id)
        except BackupmanError as error:
            log.warning(
                "%s; the multipart upload %s of %s stays until a lifecycle rule removes it",
                error.sentence,
                upload_id,
                self.key,
            )

    def begin_and_abort(self) -> None:
        """A multipart upload without parts, which is aborted at once: may objects be put here?"""
        self._abort_after_failure(self._begin())

    def abort(self, upload_id: str) -> None:
        """Remove everything of a multipart upload; one that is gone is fine."""
        try:
            self._call(lambda: self._client.abort_multipart_upload(**self._object, UploadId=upload_id))
        except (UploadGone, ObjectNotFound):
            return

    @property
    def _client(self) -> Any:
        """The client without its types, which know no members that are put together at run time."""
        return self.client

    @property
    def _algorithm(self) -> dict[str, str]:
        return {"ChecksumAlgorithm": self.checksum.algorithm} if self.checksum.algorithm else {}

    @property
    def _object(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}

    def _call(self, function: Callable[[], Any]) -> Any:
        return self.door.call(function, self.key)
