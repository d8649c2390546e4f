"""An upload to Google Drive that a dead process began: the session is asked where it stands, and goes on."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backupman.drives.google_drive import GoogleDrive
from backupman.errors import DriveError, DumpError
from backupman.retry import RetryPolicy
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._google import CHUNK, google_drive
from tests.drives._proxy import Proxy, Request, proxy
from tests.servers.google_drive import Google

SIZE = 3 * CHUNK + 5


class Died(BaseException):
    """The process dies here."""


@pytest.fixture
def between(google: Google) -> Iterator[Proxy]:
    with proxy(google.endpoint) as running:
        yield running


@pytest.fixture
def drive(google: Google, between: Proxy, tmp_path: Path) -> GoogleDrive:
    drive = google_drive(google, tmp_path, endpoint=between.endpoint)
    drive.with_retry(RetryPolicy(attempts=2, first_wait=0.01, max_wait=0.01))
    return drive


def begun(drive: GoogleDrive, between: Proxy, data: bytes, chunks: int) -> str:
    """The session of an upload whose process died after so many chunks: nothing was aborted, nobody knows its file."""
    told: list[str] = []

    def rule(request: Request, forward: object) -> None:
        return None

    class Dying(Reader):
        def read(self, size: int = -1) -> bytes:
            if len(self.asked) >= 2 * chunks:  # a chunk is sent when it and the byte behind it were read
                between.rule = rule
                raise Died
            return super().read(size)

    with pytest.raises(Died):
        drive.upload(Dying(data), NAME, {}, told.append)  # type: ignore[arg-type]  # it reads
    between.rule = lambda request, forward: forward()
    between.seen.clear()
    [session] = told
    return session


def chunks_sent(between: Proxy) -> list[str]:
    return [
        request.headers.get("content-range", "")
        for request in between.seen
        if request.method == "PUT" and request.length
    ]


@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
def test_it_goes_on_where_google_stands(google: Google, drive: GoogleDrive, between: Proxy, chunks: int) -> None:
    data = os.urandom(SIZE)
    session = begun(drive, between, data, chunks)
    fresh = GoogleDrive.model_validate(drive.revealed())
    stored = fresh.resume(io.BytesIO(data), NAME, {}, session)
    assert content(fresh, stored.ref) == data
    assert list(fresh.list()) == [stored.ref]
    sent = chunks_sent(between)
    assert sent[0].startswith(f"bytes {chunks * CHUNK}-")
    assert len(sent) == 4 - chunks
    assert google.open_sessions() == []


def test_one_that_is_whole_is_only_compared(google: Google, drive: GoogleDrive, between: Proxy) -> None:
    data, told = os.urandom(SIZE), list[str]()
    ref = drive.upload(io.BytesIO(data), NAME, {}, told.append).ref
    between.seen.clear()
    stored = drive.resume(io.BytesIO(data), NAME, {}, told[0])
    assert (stored.ref, stored.size) == (ref, SIZE)
    assert chunks_sent(between) == []


def test_one_that_is_gone_begins_anew(google: Google, drive: GoogleDrive, between: Proxy) -> None:
    data = os.urandom(SIZE)
    session = begun(drive, between, data, 2)
    google.drives.sessions.clear()
    told: list[str] = []
    stored = drive.resume(io.BytesIO(data), NAME, {}, session, told.append)
    assert content(drive, stored.ref) == data
    [new] = told
    assert new != session


def test_other_bytes_than_those_before_are_noticed_and_removed(
    google: Google, drive: GoogleDrive, between: Proxy
) -> None:
    session = begun(drive, between, os.urandom(SIZE), 2)
    with pytest.raises(DriveError, match="was stored differently than it was sent"):
        drive.resume(io.BytesIO(os.urandom(SIZE)), NAME, {}, session)
    assert list(drive.list()) == []


def test_one_that_fails_again_leaves_nothing(google: Google, drive: GoogleDrive, between: Proxy) -> None:
    data = os.urandom(SIZE)
    session = begun(drive, between, data, 2)
    assert google.open_sessions() == [NAME.rpartition("/")[2]]
    with pytest.raises(DumpError):
        drive.resume(Reader(data, error=DumpError("it broke")), NAME, {}, session)  # type: ignore[arg-type]  # it reads
    assert google.open_sessions() == []
    assert content(drive, put(drive, NAME, b"the next try").ref) == b"the next try"


def test_abort_ends_exactly_the_session(google: Google, drive: GoogleDrive, between: Proxy) -> None:
    first = begun(drive, between, os.urandom(SIZE), 2)
    begun(drive, between, os.urandom(SIZE), 2)
    assert len(google.open_sessions()) == 2
    drive.abort(NAME, first)
    assert len(google.open_sessions()) == 1
    drive.abort(NAME, first)
    drive.abort(NAME, None)
    assert len(google.open_sessions()) == 1
