"""Encryption gives back what went in to who has the key, is read by `age`, and fails aloud."""

import errno
import io
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pyrage
import pytest
from pydantic import ValidationError

from backupman.errors import DriveError, PipelineError
from backupman.pipeline import Compression, Encryption, Pipeline
from backupman.pipeline._sink import CHUNK
from backupman.pipeline.spool import Spool
from tests.pipeline.test_compression import sample
from tests.servers import program

AGE_CHUNK = 2**16
SIZES = [0, 1, AGE_CHUNK - 1, AGE_CHUNK, AGE_CHUNK + 1, CHUNK, CHUNK + 1, 5_000_000]


@pytest.fixture
def identity() -> Any:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def encryption(identity: Any) -> Encryption:
    return Encryption(recipients=[str(identity.to_public())])


def encrypted(encryption: Encryption | Pipeline, data: bytes) -> bytes:
    out = io.BytesIO()
    with encryption.encode(out) as sink:
        for start in range(0, len(data), 100_000):
            sink.write(data[start : start + 100_000])
    return out.getvalue()


def workers() -> list[str]:
    """The threads of pipelines."""
    return [thread.name for thread in threading.enumerate() if thread.name in ("encryption", "decryption")]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the same count each time is what matters


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", ["gzip", "zstd", "none"])
def test_what_goes_in_comes_out(encryption: Encryption, identity: Any, method: str, size: int) -> None:
    pipeline = Pipeline(compression=Compression.model_validate({"method": method}), encryption=encryption)
    data = sample(size)
    encoded = encrypted(pipeline, data)
    assert pipeline.decode(io.BytesIO(encoded), [str(identity)]).read() == data
    assert encoded.startswith(b"age-encryption.org/v1\n")
    assert workers() == []


@pytest.mark.service("age")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("method", "tool"),
    [
        pytest.param("gzip", "gzip", marks=pytest.mark.service("gzip")),
        pytest.param("zstd", "zstd", marks=pytest.mark.service("zstd")),
        ("none", None),
    ],
)
def test_the_ordinary_programs_read_it(
    encryption: Encryption, identity: Any, tmp_path: Path, method: str, tool: str | None, size: int
) -> None:
    data = sample(size)
    pipeline = Pipeline(compression=Compression.model_validate({"method": method}), encryption=encryption)
    key = tmp_path / "key.txt"
    key.write_text(f"# created by age-keygen\n{identity}\n")
    plain = _run([program("age"), "-d", "-i", str(key)], encrypted(pipeline, data))
    assert (_run([program(tool), "-dc"], plain) if tool else plain) == data


@pytest.mark.service("age")
def test_it_reads_what_age_wrote(encryption: Encryption, identity: Any) -> None:
    data = sample(300_000)
    written = _run([program("age"), "-r", encryption.recipients[0]], data)
    assert encryption.decode(io.BytesIO(written), [str(identity)]).read() == data


def _run(argv: list[str], data: bytes) -> bytes:
    done = subprocess.run(argv, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_every_recipient_can_read_it(tmp_path: Path) -> None:
    identities = [pyrage.x25519.Identity.generate() for _ in range(3)]
    file = tmp_path / "recipients.txt"
    keys = [str(one.to_public()) for one in identities]
    file.write_text("\n".join(["# who may read", "", *keys[1:], ""]), encoding="utf-8-sig")
    encryption = Encryption(recipients=keys[:1], recipients_file=file)
    encoded = encrypted(encryption, b"body")
    for identity in identities:
        assert encryption.decode(io.BytesIO(encoded), [str(identity)]).read() == b"body"


def test_another_key_cannot_read_it(encryption: Encryption) -> None:
    stream = encryption.decode(io.BytesIO(encrypted(encryption, b"body")), [str(pyrage.x25519.Identity.generate())])
    with pytest.raises(PipelineError, match="the object cannot be decrypted: ") as raised:
        stream.read()
    assert raised.value.permanent
    assert workers() == []


def test_no_key_cannot_read_it(encryption: Encryption) -> None:
    with pytest.raises(PipelineError, match="the object is encrypted: name the file of its age identity"):
        encryption.decode(io.BytesIO(b""), [])


def test_a_key_that_is_none(encryption: Encryption) -> None:
    with pytest.raises(PipelineError, match="that is not an age identity") as raised:
        encryption.decode(io.BytesIO(b""), ["AGE-SECRET-KEY-1NONSENSE"])
    assert "NONSENSE" not in str(raised.value)


@pytest.mark.parametrize("kept", [0, 1, 100, -1, -16, -17, -AGE_CHUNK - 16])
def test_what_is_cut_off_is_noticed(encryption: Encryption, identity: Any, kept: int) -> None:
    encoded = encrypted(encryption, bytes(3 * AGE_CHUNK))
    with pytest.raises(PipelineError, match="the object cannot be decrypted: ") as raised:
        encryption.decode(io.BytesIO(encoded[:kept]), [str(identity)]).read()
    assert raised.value.permanent


@pytest.mark.parametrize("at", [0.0, 0.0005, 0.1, 0.5, 0.99])
def test_what_was_altered_is_noticed(encryption: Encryption, identity: Any, at: float) -> None:
    encoded = bytearray(encrypted(encryption, bytes(3 * AGE_CHUNK)))
    encoded[int(at * len(encoded))] ^= 1
    with pytest.raises(PipelineError, match="the object cannot be decrypted: "):
        encryption.decode(io.BytesIO(bytes(encoded)), [str(identity)]).read()


@pytest.mark.parametrize("written", [0, 10, AGE_CHUNK, 3_000_000])
def test_an_exception_in_the_body_writes_no_last_block(encryption: Encryption, identity: Any, written: int) -> None:
    pipeline = Pipeline(compression=Compression(method="none"), encryption=encryption)
    before = open_files()
    out = io.BytesIO()
    with pytest.raises(RuntimeError), pipeline.encode(out) as sink:
        sink.write(os.urandom(written))
        raise RuntimeError
    assert workers() == []
    assert open_files() == before
    with pytest.raises(PipelineError):
        pipeline.decode(io.BytesIO(out.getvalue()), [str(identity)]).read()


class FullDisk:
    """A sink that takes so many bytes and no more."""

    def __init__(self, room: int, error: Exception) -> None:
        self._room = room
        self._error = error

    def write(self, data: bytes, /) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise self._error
        return len(data)


@pytest.mark.parametrize("room", [0, 1000, 1_000_000])
@pytest.mark.parametrize("written", [10, 3_000_000])
@pytest.mark.parametrize(
    "error", [PipelineError("the disk is full"), OSError(errno.ENOSPC, "No space"), BrokenPipeError()]
)
def test_a_sink_that_fails_is_told_as_it_was(encryption: Encryption, room: int, written: int, error: Exception) -> None:
    before = open_files()
    if room > written:
        written += room
    with pytest.raises(type(error)) as raised, encryption.encode(FullDisk(room, error)) as sink:
        for _ in range(0, written, 100_000):
            sink.write(os.urandom(min(written, 100_000)))
    assert raised.value is error
    assert workers() == []
    assert open_files() == before


def test_a_spool_that_reaches_its_limit_is_told_through_encryption(encryption: Encryption, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "dump", max_size=1_000_000)
    with (
        pytest.raises(PipelineError, match=r"the dump is larger than spool.max_size"),
        Pipeline(encryption=encryption).encode(spool) as sink,
    ):
        for _ in range(100):
            sink.write(os.urandom(100_000))
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_source_stays_what_it_was(encryption: Encryption, identity: Any) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if not data:
                raise DriveError("the drive is gone")
            return data

    source = Broken(encrypted(encryption, bytes(1_000_000))[:500_000])
    with pytest.raises(DriveError, match="the drive is gone"):
        encryption.decode(source, [str(identity)]).read()
    assert workers() == []


def test_a_stream_may_be_left_before_its_end(encryption: Encryption, identity: Any) -> None:
    encoded = encrypted(encryption, bytes(5_000_000))
    before = open_files()
    with encryption.decode(io.BytesIO(encoded), [str(identity)]) as stream:
        assert stream.read(10) == bytes(10)
    assert workers() == []
    assert open_files() == before


def test_a_file_of_recipients_that_is_missing_or_empty(tmp_path: Path) -> None:
    file = tmp_path / "recipients.txt"
    before = open_files()
    faults = {
        None: "cannot be read: No such file",
        b"# nobody\n": "holds no key",
        b"age1nonsense\n": "'age1nonsense'… is not an age public key",
        b"\xff\xfe": "cannot be read: it is not text",
    }
    for content, why in faults.items():
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(PipelineError, match=f"^recipients_file .*{why}") as raised:
            encrypted(Encryption(recipients_file=file), b"")
        assert raised.value.permanent
    assert workers() == []
    assert open_files() == before


def test_a_recipient_that_is_none_is_refused_by_the_config() -> None:
    secret = str(pyrage.x25519.Identity.generate())
    with pytest.raises(ValidationError, match="is not an age public key") as raised:
        Encryption(recipients=[secret])
    assert secret[16:] not in str(raised.value.errors(include_input=False))
    with pytest.raises(ValidationError, match="encryption needs recipients"):
        Encryption()


def test_the_suffix_names_the_stages_in_order(encryption: Encryption) -> None:
    assert Pipeline(encryption=encryption).suffix == ".gz.age"
    assert Pipeline().suffix == ".gz"


def test_a_panic_in_the_library_is_told(encryption: Encryption, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Rust's panics become in Python is no Exception."""

    def panics(*_: object) -> None:
        raise BaseException("index out of bounds")

    monkeypatch.setattr(pyrage, "encrypt_io", panics)
    with pytest.raises(PipelineError, match="age failed: index out of bounds"), encryption.encode(io.BytesIO()) as sink:
        for _ in range(10):
            sink.write(bytes(1000))
    assert workers() == []


def test_so_is_one_while_it_is_decrypted(
    encryption: Encryption, identity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes before it would be taken for all of them."""

    class PanicError(BaseException):
        """As pyo3 raises it."""

    def panics(_source: BinaryIO, sink: BinaryIO, _keys: object) -> None:
        sink.write(b"half")
        raise PanicError("index out of bounds")

    data = encrypted(encryption, b"a dump")
    monkeypatch.setattr(pyrage, "decrypt_io", panics)
    with pytest.raises(PipelineError, match="cannot be decrypted: index out of bounds"):
        encryption.decode(io.BytesIO(data), [str(identity)]).read()
