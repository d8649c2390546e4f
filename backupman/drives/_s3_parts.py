"""The parts of an upload to S3: how large they are, and the checksums that they carry and that S3 answers."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

MIN_PART, MAX_PART, MAX_PARTS = 5 * 2**20, 5 * 2**30, 10_000
"""S3's own limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""


@dataclass(frozen=True)
class Checksum:
    """A checksum as requests carry it: `member` of the SDK's call, and S3's name of the algorithm where it has one."""

    name: str
    member: str
    algorithm: str | None
    digest: Callable[[bytes], bytes]

    def carried(self, digest: bytes) -> dict[str, str]:
        """What a request carries for a body of that digest."""
        return {self.member: base64.b64encode(digest).decode()}


CHECKSUMS: Mapping[str, Checksum] = {
    checksum.name: checksum
    for checksum in (
        Checksum("sha256", "ChecksumSHA256", "SHA256", lambda data: hashlib.sha256(data).digest()),
        Checksum("crc32", "ChecksumCRC32", "CRC32", lambda data: zlib.crc32(data).to_bytes(4, "big")),
        Checksum("md5", "ContentMD5", None, lambda data: hashlib.md5(data, usedforsecurity=False).digest()),
    )
}


@dataclass(frozen=True)
class Parts:
    """How large the parts are, and how many are in memory at once."""

    size: int
    concurrency: int
    equal: bool

    def sizes(self) -> Iterator[int]:
        """The size of each part in turn.

        It grows every 1,000 parts (1, 2, 9, 28, … times the first), so that 10,000 parts of 5 MiB at first hold 9 TiB,
        and an object of ordinary size costs no more memory than `size` says.
        """
        for number in range(MAX_PARTS):
            yield self.size if self.equal else min(self.size * (1 + (number // 1000) ** 3), MAX_PART)

    def at_once(self, size: int) -> int:
        """How many parts of that size may be in memory: fewer of the grown ones, but two if there may be two."""
        return min(self.concurrency, max(2, self.size * self.concurrency // size))


def read_part(reader: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    data = reader.read(size)
    if len(data) == size or not data:
        return data
    chunks, left = [data], size - len(data)
    while left and (data := reader.read(left)):
        chunks.append(data)
        left -= len(data)
    return b"".join(chunks)


def stored_checksums(answer: Mapping[str, Any]) -> dict[str, str]:
    """The checksums of an answer, in hex by name; `<name>-parts` is a hash of the parts' hashes, and their number."""
    found = {}
    for member, value in answer.items():
        name = member.removeprefix("Checksum").lower()
        if not member.startswith("Checksum") or name in ("type", "algorithm"):
            continue
        encoded, _, count = str(value).partition("-")
        digest = base64.b64decode(encoded).hex()
        composite = count or answer.get("ChecksumType") == "COMPOSITE"
        found[f"{name}-parts" if composite else name] = f"{digest}-{count}" if count else digest
    return found


def agree(stored: Mapping[str, str], expected: Mapping[str, str]) -> bool | None:
    """Whether the checksums are equal; None where the server told none of the same kind."""
    for name, value in expected.items():
        if name in stored:
            return stored[name].partition("-")[0] == value.partition("-")[0]
        if stored.get(name.removesuffix("-parts")) == value.partition("-")[0]:
            return True
    return None
