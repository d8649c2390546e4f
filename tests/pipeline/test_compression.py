"""Compression gives back what went in, and is read by the ordinary programs."""

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from backupman.errors import DriveError, PipelineError
from backupman.pipeline import Compression
from backupman.pipeline._sink import CHUNK
from tests.servers import program

METHODS = [("gzip", level) for level in (None, 1, 2, 3, 6, 9)] + [("zstd", level) for level in (None, 1, 19)]
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5_000_000]

ROWS = b"INSERT INTO orders VALUES (17, 'gr\xc3\xb6\xc3\x9fe', NULL, '2026-11-21 12:00:00');\n"


def sample(size: int) -> bytes:
    """Half noise, half rows."""
    rows = ROWS * (size // 2 // len(ROWS) + 1)
    return rows[: size // 2] + os.urandom(size - size // 2)


def compressed(compression: Compression, data: bytes, chunk: int = 100_000) -> bytes:
    out = io.BytesIO()
    with compression.encode(out) as sink:
        for start in range(0, len(data), chunk):
            assert sink.write(data[start : start + chunk]) == len(data[start : start + chunk])
    return out.getvalue()


def decompressed(compression: Compression, data: bytes) -> bytes:
    return compression.decode(io.BytesIO(data)).read()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("method", "level"), [*METHODS, ("none", None)])
def test_what_goes_in_comes_out(method: str, level: int | None, size: int) -> None:
    compression = Compression.model_validate({"method": method, "level": level})
    data = sample(min(size, 300_000) if level == 19 else size)
    encoded = compressed(compression, data)
    assert decompressed(compression, encoded) == data
    assert (encoded == data) == (method == "none")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("method", "level", "tool"),
    [
        pytest.param(method, level, tool, marks=pytest.mark.service(tool))
        for method, level in METHODS
        for tool in ("gzip", "zstd")
        if tool == method and level != 19
    ],
)
def test_the_ordinary_program_reads_it(method: str, level: int | None, tool: str, size: int) -> None:
    data = sample(size)
    encoded = compressed(Compression.model_validate({"method": method, "level": level}), data)
    done = subprocess.run([program(tool), "-dc"], input=encoded, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == data


@pytest.mark.parametrize(("method", "tool"), [("gzip", "gzip"), ("zstd", "zstd")])
def test_it_reads_the_ordinary_programs_files(method: str, tool: str) -> None:
    data = sample(300_000)
    encoded = b"".join(
        subprocess.run([program(tool), "-c"], input=part, capture_output=True, check=True).stdout
        for part in (data[:100], b"", data[100:])
    )
    assert decompressed(Compression.model_validate({"method": method}), encoded) == data


@given(st.lists(st.binary(max_size=300), max_size=20), st.sampled_from(METHODS[:-1]), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_any_writes_and_any_reads(writes: list[bytes], method: tuple[str, int | None], size: int) -> None:
    compression = Compression.model_validate({"method": method[0], "level": method[1]})
    out = io.BytesIO()
    with compression.encode(out) as sink:
        for data in writes:
            sink.write(data)
    stream = compression.decode(io.BytesIO(out.getvalue()))
    assert b"".join(iter(lambda: stream.read(size), b"")) == b"".join(writes)


@pytest.mark.parametrize("method", ["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0, 1, 5, 20, -1, -4, -9, -1000])
def test_what_is_cut_off_is_noticed(method: str, kept: int) -> None:
    compression = Compression.model_validate({"method": method})
    encoded = compressed(compression, sample(100_000))
    with pytest.raises(PipelineError, match="end too early: the object is cut off") as raised:
        decompressed(compression, encoded[:kept])
    assert raised.value.permanent


@pytest.mark.parametrize("method", ["gzip", "zstd"])
@pytest.mark.parametrize("at", [0, 0.1, 0.5, 0.9, -3])
def test_what_was_altered_is_noticed(method: str, at: float) -> None:
    compression = Compression.model_validate({"method": method})
    encoded = bytearray(compressed(compression, sample(100_000)))
    encoded[int(at * len(encoded)) if at >= 0 else int(at)] ^= 0x10
    with pytest.raises(PipelineError, match=r"the compressed data (are damaged|end too early)") as raised:
        decompressed(compression, bytes(encoded))
    assert raised.value.permanent


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_what_is_no_such_file_is_noticed(method: str) -> None:
    with pytest.raises(PipelineError, match="the compressed data are damaged"):
        decompressed(Compression.model_validate({"method": method}), ROWS)


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_garbage_behind_the_data_is_noticed(method: str) -> None:
    compression = Compression.model_validate({"method": method})
    with pytest.raises(PipelineError):
        decompressed(compression, compressed(compression, ROWS) + b"garbage" * 10)


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_an_error_of_the_source_stays_what_it_was(method: str) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise DriveError("the drive is gone")

    with pytest.raises(DriveError, match="the drive is gone"):
        Compression.model_validate({"method": method}).decode(cast(BinaryIO, Broken())).read()


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_an_exception_in_the_body_writes_no_trailer(method: str) -> None:
    compression = Compression.model_validate({"method": method})
    out = io.BytesIO()
    with pytest.raises(RuntimeError), compression.encode(out) as sink:
        sink.write(sample(1_000_000))
        raise RuntimeError
    with pytest.raises(PipelineError, match="cut off"):
        decompressed(compression, out.getvalue())


MEASURE = """
import re, sys
from pathlib import Path
from backupman.pipeline import Compression

compression = Compression(method=sys.argv[1])
with open(sys.argv[2], "wb") as out, compression.encode(out) as sink:
    for _ in range(400):
        sink.write(bytes(2**20))
size = 0
with open(sys.argv[2], "rb") as source:
    stream = compression.decode(source)
    while chunk := stream.read(2**18):
        size += len(chunk)
assert size == 400 * 2**20
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_memory_stays_small_however_well_it_compresses(method: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, method, str(tmp_path / "file")], capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    assert int(run.stdout) < 120 * 2**20


def test_the_suffix_is_the_programs_own() -> None:
    suffixes = {method: Compression.model_validate({"method": method}).suffix for method in ("gzip", "zstd", "none")}
    assert suffixes == {"gzip": ".gz", "zstd": ".zst", "none": ""}
    assert Compression() == Compression(method="gzip", level=None)


@pytest.mark.parametrize(("method", "level"), [("gzip", 0), ("gzip", 10), ("zstd", 20), ("none", 1)])
def test_a_level_that_the_method_has_not(method: str, level: int) -> None:
    with pytest.raises(ValidationError, match=f"{method} has the levels"):
        Compression.model_validate({"method": method, "level": level})


def test_gzip_is_what_python_reads_too() -> None:
    assert gzip.decompress(compressed(Compression(), ROWS)) == ROWS


@pytest.mark.parametrize(("threads", "started"), [(1, 0), (2, 2), (3, 3)])
def test_zstd_takes_as_many_threads_as_it_may(threads: int, started: int) -> None:
    """In a process of its own, as in this one other threads come and go."""
    script = f"""
import io, os
from backupman.pipeline import Pipeline
out, before = io.BytesIO(), len(os.listdir("/proc/self/task"))
with Pipeline.model_validate({{"compression": {{"method": "zstd"}}, "threads": {threads}}}).encode(out) as sink:
    sink.write(bytes(10_000_000))
    print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) == started


@pytest.mark.parametrize("threads", [1, 5])
def test_the_threads_change_nothing_about_what_comes_out(threads: int) -> None:
    data, out = sample(5_000_000), io.BytesIO()
    compression = Compression(method="zstd")
    with compression.encode(out, threads) as sink:
        sink.write(data)
    assert decompressed(compression, out.getvalue()) == data
