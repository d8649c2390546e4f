"""The lock of a source excludes threads and processes, and lasts as long as whoever holds its descriptor."""

import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from backupman.engine.locks import source_lock
from backupman.errors import BusyError, StoreError

HOLD = """
import sys
from pathlib import Path
from backupman.engine.locks import source_lock
with source_lock(Path(sys.argv[1]), sys.argv[2], wait=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def take(folder: Path, label: str = "shop") -> None:
    """Take a lock that has to be free, and let go of it."""
    with source_lock(folder, label, wait=False):
        pass


def test_a_source_is_never_held_twice_at_once(tmp_path: Path) -> None:
    with source_lock(tmp_path, "My Shop", wait=False):
        with pytest.raises(BusyError, match="My Shop is being backed up already; wait for it to end") as busy:
            take(tmp_path, "My Shop")
        assert busy.value.exit_code == 3
        take(tmp_path, "blog")
    take(tmp_path, "My Shop")


def test_the_lock_is_free_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), source_lock(tmp_path, "shop", wait=False):
        _ = 1 / 0
    take(tmp_path)


def test_another_process_is_excluded_until_it_dies(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path), "shop"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BusyError):
            take(tmp_path)
        process.kill()
        process.wait()
    take(tmp_path)


def test_the_lock_lasts_as_long_as_a_child_that_was_handed_it(tmp_path: Path) -> None:
    with source_lock(tmp_path, "shop", wait=False) as fd:
        child = subprocess.Popen(["sleep", "300"], pass_fds=[fd])
    with pytest.raises(BusyError):
        take(tmp_path)
    child.kill()
    child.wait()
    take(tmp_path)


def test_a_child_that_was_not_handed_it_does_not_hold_it(tmp_path: Path) -> None:
    with source_lock(tmp_path, "shop", wait=False):
        child = subprocess.Popen(["sleep", "300"], close_fds=False)
    take(tmp_path)
    child.kill()
    child.wait()


def test_waiting_ends_when_the_lock_is_free(tmp_path: Path) -> None:
    held = Event()

    def wait_for_it() -> float:
        held.wait()
        with source_lock(tmp_path, "shop", wait=True):
            return time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        with source_lock(tmp_path, "shop", wait=False):
            waiting = pool.submit(wait_for_it)
            held.set()
            time.sleep(0.5)
            assert not waiting.done()
            let_go = time.monotonic()
        assert waiting.result(timeout=60) >= let_go


def test_waiting_ends_when_it_is_told_to_stop(tmp_path: Path) -> None:
    stops = iter([False, True])
    with (
        source_lock(tmp_path, "shop", wait=False),
        pytest.raises(BusyError),
        source_lock(tmp_path, "shop", wait=True, stop=lambda: next(stops)),
    ):
        pytest.fail("it was held twice")


def test_of_many_threads_one_at_a_time_is_inside(tmp_path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> int:
        with source_lock(tmp_path, "shop", wait=True):
            inside.append(number)
            time.sleep(0.01)
            alone = len(inside) == 1
            inside.remove(number)
            return alone

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


def test_a_label_of_any_text_is_a_lock_of_its_own_in_the_folder(tmp_path: Path) -> None:
    labels = ["../../escape", "a/b", "a-b", "\u6570\u636e\u5e93", "x" * 200]
    for label in labels:
        take(tmp_path, label)
    assert len(list((tmp_path / "locks").iterdir())) == len(labels)
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


def test_the_lock_is_for_our_own_account_alone(tmp_path: Path) -> None:
    take(tmp_path / "state")
    folder = tmp_path / "state" / "locks"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.iterdir()] == [0]


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as refused:
        take(tmp_path / "file")
    assert refused.value.sentence == (
        f"the lock of shop cannot be made in {tmp_path}/file/locks: Not a directory; give the user that runs backupman "
        "write access, or set state_folder to a local folder"
    )


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - iterdir would hold a descriptor of its own
    take(tmp_path)
    with source_lock(tmp_path, "shop", wait=False), pytest.raises(BusyError):
        take(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above
