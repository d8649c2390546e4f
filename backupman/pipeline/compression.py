"""Compression: gzip, zstd or none, all readable with the ordinary programs.

Measured in docs/performance.md: gzip up to level 3 on ISA-L (ten times zlib's speed), above on zlib-ng; zstd on
`backports.zstd`, the standard library's own API from Python 3.14 on.
"""

import gzip
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, Literal

from pydantic import Field, model_validator

from backupman.errors import PipelineError
from backupman.pipeline._sink import CHUNK, Sink, Watched, stream
from backupman.registry import Settings

_GZIP = 16 + zlib.MAX_WBITS
_LEVELS = {"gzip": range(1, 10), "zstd": range(1, 20), "none": range(1)}
SUFFIXES = {"gzip": ".gz", "zstd": ".zst", "none": ""}


class Compression(Settings):
    """How dumps are compressed."""

    method: Literal["gzip", "zstd", "none"] = Field(default="gzip", description="`gzip`, `zstd` or `none`.")
    level: int | None = Field(default=None, description="gzip 1 to 9 (default 2), zstd 1 to 19 (default 3).")

    @model_validator(mode="after")
    def _level_of_the_method(self) -> "Compression":
        levels = _LEVELS[self.method]
        if self.level is not None and self.level not in levels:
            raise ValueError(f"{self.method} has the levels {levels[0]} to {levels[-1]}, not {self.level}")
        return self

    @property
    def suffix(self) -> str:
        """`.gz`, `.zst` or nothing."""
        return SUFFIXES[self.method]

    @contextmanager
    def encode(self, out: Sink, threads: int = 2) -> Iterator[Sink]:
        """A sink that compresses into `out`, by zstd in so many threads; a clean exit writes the trailer."""
        if self.method == "none":
            yield out
            return
        if self.method == "gzip":
            compressor = _gzip_compressor(self.level or 2)
        else:
            compressor = _zstd_compressor(self.level or 3, threads)
        yield _Compressing(compressor.compress, out)
        out.write(compressor.flush())

    def decode(self, source: BinaryIO) -> BinaryIO:
        """The stream as it was; reading raises PipelineError where the data were cut or altered."""
        if self.method == "none":
            return source
        return stream(_decompressed(source, _gzip_data if self.method == "gzip" else _zstd_data))


class _Compressing:
    def __init__(self, compress: Callable[[bytes], bytes], out: Sink) -> None:
        self._compress = compress
        self._out = out

    def write(self, data: bytes, /) -> int:
        if compressed := self._compress(data):
            self._out.write(compressed)
        return len(data)


def _gzip_compressor(level: int) -> Any:
    if level <= 3:
        from isal import isal_zlib

        return isal_zlib.compressobj(level, wbits=_GZIP)
    from zlib_ng import zlib_ng

    return zlib_ng.compressobj(level, wbits=_GZIP)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _zstd_compressor(level: int, threads: int) -> Any:
    zstd = _zstd()
    options = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.checksum_flag: 1,
        zstd.CompressionParameter.nb_workers: threads if threads > 1 else 0,  # one: the thread that writes
        zstd.CompressionParameter.job_size: 2 * 2**20,
    }
    return zstd.ZstdCompressor(options=options)


def _gzip_data(source: Watched) -> Iterator[bytes]:
    from isal import igzip

    file = igzip.IGzipFile(fileobj=source)  # type: ignore[no-untyped-call]  # isal's is untyped
    return iter(partial(file.read, CHUNK), b"")


def _zstd_data(source: Watched) -> Iterator[bytes]:
    """In large pieces: ZstdFile takes 8 KiB at a time, and a tenth more processor time."""
    zstd = _zstd()
    frame: Any = None
    for piece in iter(partial(source.read, CHUNK), b""):
        left: bytes | None = piece
        while left is not None:
            frame = frame or zstd.ZstdDecompressor()
            if data := frame.decompress(left, CHUNK):
                yield data
            if frame.eof:
                left, frame = frame.unused_data or None, None
            else:
                left = None if frame.needs_input else b""
    if frame:
        raise EOFError


def _decompressed(source: BinaryIO, data_of: Callable[[Watched], Iterator[bytes]]) -> Generator[bytes, None, None]:
    """The data of all members or frames in turn, a chunk at a time however well they were compressed."""
    watched = Watched(source)
    try:
        yield from data_of(watched)
    except EOFError as error:
        raise _cut_off() from error
    except _damage() as error:
        raise PipelineError(f"the compressed data are damaged: {error}", permanent=True) from error
    if watched.empty:  # the library takes an empty file for a stream without data
        raise _cut_off()


def _damage() -> tuple[Any, ...]:
    from isal import isal_zlib

    return (gzip.BadGzipFile, isal_zlib.error, zlib.error, _zstd().ZstdError)


def _cut_off() -> PipelineError:
    return PipelineError("the compressed data end too early: the object is cut off", permanent=True)
