"""The parts of an upload to S3: how large they are, and the checksums that they carry and that S3 answers."""

import base64
import hashlib
import io
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MIN_PART, MAX_PART, MAX_PARTS = 5 * 2**20, 5 * 2**30, 10_000
"""S3's own limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""

MAX_OBJECT = 5.5 * 2**40
"""What parts are made to hold, whatever their first size: the 5 TiB that every server takes, and some for rounding.

Amazon takes 48.8 TiB, which is MAX_PARTS of MAX_PART. Parts that grow to that would be of a GiB at 100 GiB already.
"""


_PIECE = 2**18


class Body(io.BytesIO):
    """A part on its way out, in pieces of 256 KiB: HTTP's client asks for 16 KiB at a time, which costs as much as
    signing. All of it in one call would have to get through within the drive's time-out."""

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, more than `size` where that is small."""
        return super().read(max(size, _PIECE) if size and size > 0 else size)


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
class Part:
    """A part that the server holds: `carried` is what its request carried, its checksum."""

    number: int
    size: int
    etag: str
    digest: bytes
    carried: Mapping[str, str]


@dataclass(frozen=True)
class Held:
    """A part of a dead process's upload, as the server lists it."""

    etag: str
    size: int
    checksums: Mapping[str, str]

    @classmethod
    def of(cls, listed: Mapping[str, Any]) -> "Held":
        """A part of a list's answer."""
        return cls(listed["ETag"], listed["Size"], stored_checksums(listed))

    def is_of(self, data: bytes, checksum: Checksum, digest: bytes) -> bool:
        """Whether it holds these bytes.

        Servers that list no checksum are believed by the ETag. Where that is no MD5 the part is merely sent again.
        """
        if self.size == len(data) and checksum.name in self.checksums:
            return self.checksums[checksum.name] == digest.hex()
        return self.etag.strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Parts:
    """How large the parts are, and how many are in memory at once."""

    size: int
    concurrency: int
    equal: bool

    def sizes(self) -> Iterator[int]:
        """The size of each part in turn.

        The size of the object is not known before its end. So parts stay as small as `size` says at first, and then
        are the same share of all that was sent, the smallest with which MAX_PARTS of them hold MAX_OBJECT.
        """
        sent, share = 0, self._share()
        for _ in range(MAX_PARTS):
            size = self.size if self.equal else min(max(self.size, sent // share), MAX_PART)
            yield size
            sent += size

    def _share(self) -> int:
        """How many parts of the first size are sent before they grow.

        Growing by 1/n of what was sent, n (1 + ln(object / (n size))) parts hold the object.
        """
        grown = (n for n in range(MAX_PARTS, 0, -10) if n * (1 + math.log(MAX_OBJECT / (n * self.size))) <= MAX_PARTS)
        return next(grown, 1)

    def at_once(self, size: int) -> int:
        """How many parts of that size may be in memory: fewer of the grown ones, but two if there may be two."""
        return min(self.concurrency, max(2, self.size * self.concurrency // size))


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
