"""The child's own doings: a signal ends it and nothing goes on after it, and whatever it tells is a line of JSON."""

import io
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from backupman.data_plane import child, removing
from backupman.data_plane.messages import Failed, Held, Listed
from backupman.data_plane.tasks import DeleteTask, DriveTask
from backupman.errors import Terminated
from backupman.retry import NO_RETRY, RetryPolicy
from backupman.testing import MemoryDrive


@pytest.fixture(autouse=True)
def handled() -> Iterator[None]:
    """SIGTERM as a child takes it."""
    before = signal.signal(signal.SIGTERM, child._interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def channel(out: io.StringIO) -> child.Channel:
    return child.Channel(out, sys.stdin, [])


def test_nothing_is_tried_again_after_the_signal() -> None:
    tried = []

    def call() -> None:
        tried.append(1)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated):
        RetryPolicy(attempts=3, first_wait=0.01).call(call)
    assert tried == [1]


def test_no_other_object_is_removed_after_the_signal(
    channel: child.Channel, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Deaf(MemoryDrive):
        def delete(self, ref: str) -> None:
            asked.append(ref)
            os.kill(os.getpid(), signal.SIGTERM)

    drive = Deaf(provider="memory", label="d")
    monkeypatch.setattr(removing, "drive_of", lambda about, retry: drive)
    task = DeleteTask(drive=DriveTask(label="d", settings={}), refs=[["a", "a.json"], ["b"]], retry=NO_RETRY)
    with pytest.raises(Terminated):
        removing.remove(task, channel.tell)
    assert (asked, out.getvalue()) == (["a"], "")


def test_what_has_a_name_that_is_no_utf8_is_told(channel: child.Channel, out: io.StringIO) -> None:
    odd = os.fsdecode(b"f\xff.txt")
    channel.tell(Listed(objects=[Held(ref=odd, name=odd), Held(ref="good", name="good")]))
    channel.tell(Failed(error=f"cannot read {odd}"))
    listed, failed = out.getvalue().splitlines()
    assert [each.ref for each in Listed.model_validate_json(listed).objects] == ["f?.txt", "good"]
    assert Failed.model_validate_json(failed).error == "cannot read f?.txt"
