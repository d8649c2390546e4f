"""The pace of a drive, by a clock of the test's own: nothing here waits or measures."""

from pathlib import Path

import pytest

from backupman.data_plane.pacing import Pace
from backupman.errors import DumpError, PipelineError

MIB = 2**20


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds


def pace(rate: int, file: Path, clock: Clock) -> Pace:
    return Pace(rate, file, sleep=clock.sleep, clock=clock)


@pytest.mark.parametrize("chunk", [1000, MIB, 8 * MIB, 100 * MIB])
def test_bytes_take_the_time_that_they_should(tmp_path: Path, chunk: int) -> None:
    clock = Clock()
    let_through, sent = pace(10 * MIB, tmp_path / "pace", clock), 0
    while sent < 100 * MIB:
        let_through(chunk)
        sent += chunk
    assert clock.now - 1000 == pytest.approx(sent / (10 * MIB))


def test_a_large_part_is_let_through_in_steps_of_a_second(tmp_path: Path) -> None:
    clock = Clock()
    pace(MIB, tmp_path / "pace", clock)(8 * MIB + 1)
    assert clock.slept[:8] == [pytest.approx(1.0)] * 8
    assert len(clock.slept) == 9


def test_nothing_has_to_be_made_up_for(tmp_path: Path) -> None:
    clock = Clock()
    let_through = pace(MIB, tmp_path / "pace", clock)
    let_through(MIB)
    clock.now += 3600
    let_through(2 * MIB)
    assert sum(clock.slept) == pytest.approx(3.0), "an hour of silence lets nothing through at once"


def test_all_who_write_to_a_drive_share_its_pace(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "state" / "bandwidth" / "cloud"
    one, two = pace(MIB, file, clock), pace(MIB, file, clock)
    for _ in range(10):
        one(MIB // 2)
        two(MIB // 2)
    assert clock.now - 1000 == pytest.approx(10.0)
    assert file.stat().st_mode & 0o777 == 0o600
    pace(MIB, file.with_name("other"), other := Clock())(MIB)
    assert sum(other.slept) == pytest.approx(1.0), "another drive has a pace of its own"


def test_a_machine_that_was_started_anew_waits_for_nothing(tmp_path: Path) -> None:
    pace(MIB, tmp_path / "pace", Clock(now=1_000_000.0))(MIB)
    clock = Clock(now=5.0)
    pace(MIB, tmp_path / "pace", clock)(MIB)
    assert sum(clock.slept) == pytest.approx(1.0)


@pytest.mark.parametrize("content", [b"", b"1", b"no number at all"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pace").write_bytes(content)
    clock = Clock()
    pace(MIB, tmp_path / "pace", clock)(MIB)
    assert sum(clock.slept) == pytest.approx(1.0)


def test_what_ends_the_wait_ends_the_upload(tmp_path: Path) -> None:
    def given_up(seconds: float) -> None:
        raise DumpError("the dump failed")

    with pytest.raises(DumpError):
        Pace(MIB, tmp_path / "pace", sleep=given_up, clock=Clock())(MIB)


def test_a_file_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PipelineError, match="a bandwidth cannot be kept track of in "):
        pace(MIB, tmp_path / "file" / "pace", Clock())(1)
