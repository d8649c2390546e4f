"""How one object gets to Azure: in blocks that several threads send side by side, and a list of them at the end.

A block is nothing that anybody can see before the list of blocks is committed, which is one step, refused if there
is a blob of that name. Azure drops blocks that are in no list a week after the last one, or as soon as a blob of their
name is committed. They cannot be removed in any other way.

A block's id is its number and the hash of its bytes. So whoever sends the same object again, after a lost connection
or after a restart, sees by the ids alone what Azure holds.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from backupman.drives import Stat
from backupman.drives._azure_errors import ConditionFailed, Door, Forbidden, NameTaken
from backupman.drives._parts import TooManyParts, read_part, send_parts, workers
from backupman.errors import DriveError, ObjectNotFound

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

MAX_BLOCK, MAX_BLOCKS = 4000 * 2**20, 50_000
"""Azure's own limits: https://learn.microsoft.com/azure/storage/blobs/scalability-targets."""

_GROW_AFTER = 7_500
"""Blocks of one size, before they double: from 8 MiB, 50,000 of them hold 6 TiB."""


@dataclass(frozen=True)
class Blocks:
    """How large the blocks are, and how many are in memory at once."""

    size: int
    concurrency: int

    def sizes(self) -> Iterator[int]:
        """The size of each block in turn; the size of the object is not known before its end."""
        for number in range(MAX_BLOCKS):
            yield min(self.size << number // _GROW_AFTER, MAX_BLOCK)

    def at_once(self, size: int) -> int:
        """How many blocks of that size may be in memory: fewer of the grown ones, but two if there may be two."""
        return min(self.concurrency, max(2, self.size * self.concurrency // size))


class _Measured:
    """A reader whose bytes are counted and hashed on their way."""

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    def read(self, size: int) -> bytes:
        data = self._reader.read(size)
        self._md5.update(data)
        self._size += len(data)
        return data

    @property
    def stat(self) -> Stat:
        """Of all that was read."""
        return Stat(self._size, {"md5": self._md5.hexdigest()})


@dataclass(frozen=True)
class Sender:
    """Sends one object. `settings` are the arguments of the SDK's calls that make it (metadata, tier)."""

    blob: "BlobClient"
    door: Door
    settings: Mapping[str, Any]
    head: Callable[[], Stat]
    _stop: Event = field(default_factory=Event)

    def send(self, reader: BinaryIO, blocks: Blocks) -> Stat:
        """Everything that the reader gives."""
        self._refuse_taken()
        measured = _Measured(reader)
        stream = cast(BinaryIO, measured)
        waiting = [read_part(stream, blocks.size)]
        held = self._held() if len(waiting[0]) == blocks.size else {}
        with workers(blocks.concurrency, f"azure-{self.door.label}", self._stop) as pool:
            try:
                ids = send_parts(pool, stream, waiting, blocks.sizes(), blocks.at_once, partial(self._stage, held))
            except TooManyParts:
                raise DriveError(
                    f"{self.door.label}: {self._name} needs more than {MAX_BLOCKS} blocks: set a larger block_size",
                    permanent=True,
                ) from None
            return self._create(ids, measured.stat)

    def may_create(self) -> None:
        """Whether blobs may be made here: a commit of no blocks, on a condition that cannot hold. Raises DriveError."""
        from azure.core import MatchConditions

        try:
            self.door.call(
                lambda: self.blob.commit_block_list([], etag='"0"', match_condition=MatchConditions.IfNotModified),
                self._name,
            )
        except ConditionFailed:
            return
        raise DriveError(f"{self.door.label}: the server made a blob against a condition", permanent=True)

    def _stage(self, held: Mapping[str, int], number: int, data: bytes) -> str:
        block_id = f"{number:05}-{hashlib.sha256(data).hexdigest()[:32]}"
        if held.get(block_id) == len(data):
            return block_id

        def attempt() -> None:
            if self._stop.is_set():
                raise DriveError(f"{self.door.label}: the upload of {self._name} was given up", permanent=True)
            with self.door.explained(self._name):
                self.blob.stage_block(block_id, data, length=len(data), validate_content=True)

        self.door.retry.call(attempt, sleep=self._stop.wait)
        return block_id

    def _held(self) -> Mapping[str, int]:
        """The blocks of that name that Azure holds, and their sizes: of an upload that did not come to its end."""
        try:
            _, blocks = self.door.call(lambda: self.blob.get_block_list("uncommitted"), self._name)
        except (ObjectNotFound, Forbidden):
            return {}
        return {block.id: block.size for block in blocks}

    def _refuse_taken(self) -> None:
        """Notice a blob of that name before all is sent; the request that makes ours visible refuses it too."""
        try:
            self.door.retry.call(self.head)
        except DriveError as error:
            if isinstance(error, ObjectNotFound | Forbidden):
                return
            raise
        raise DriveError(
            f"{self.door.label}: {self._name} is already there, and nothing was overwritten", permanent=True
        )

    def _create(self, ids: Sequence[str], expected: Stat) -> Stat:
        """Make the blob visible, never in another's place, and compare what Azure then tells of it.

        When an answer gets lost, the next try finds the name taken: it was ours if size and hash are equal, as nothing
        stood there before the first try.
        """
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock, ContentSettings

        md5 = bytearray.fromhex(expected.checksums["md5"])
        content = ContentSettings(content_type="application/octet-stream", content_md5=md5)
        made = {**self.settings, "content_settings": content, "match_condition": MatchConditions.IfMissing}
        blocks = [BlobBlock(block_id) for block_id in ids]
        tries = 0

        def attempt() -> None:
            nonlocal tries
            tries += 1
            try:
                with self.door.explained(self._name):
                    self.blob.commit_block_list(blocks, validate_content=True, **made)
            except (NameTaken, ConditionFailed):
                if tries == 1 or self._stored() != expected:
                    raise

        self.door.retry.call(attempt)
        if (stored := self._stored()) not in (expected, None):
            self.door.call(self.blob.delete_blob, self._name)
            why = f"{self._name} was stored differently than it was sent: {stored} instead of {expected}"
            raise DriveError(f"{self.door.label}: {why}; it was removed")
        return expected

    def _stored(self) -> Stat | None:
        """What Azure tells of the blob; None where it is not ours to ask."""
        try:
            return self.door.retry.call(self.head)
        except Forbidden:
            return None

    @property
    def _name(self) -> str:
        return self.blob.blob_name
