"""The data plane's processes: one may be started before its task, and none outlives who started it."""

import os
import select
import signal
import subprocess
import sys

import psutil
import pytest

from backupman.children import Child, next_child, one_child_early
from backupman.data_plane import DataPlane
from backupman.data_plane.tasks import DatabasesTask
from backupman.errors import BackupmanError

pytestmark = pytest.mark.usefixtures("started_children")
_SOON = 60.0


def test_the_first_task_gets_the_child_that_was_started_early() -> None:
    before = set(psutil.Process().children())
    with one_child_early():
        (early,) = set(psutil.Process().children()) - before
        first, second = next_child(None), next_child(None)
        first.end()
        second.end()
    assert first.pid == early.pid != second.pid


def test_a_task_with_an_environment_of_its_own_gets_a_new_one() -> None:
    before = set(psutil.Process().children())
    with one_child_early():
        (early,) = set(psutil.Process().children()) - before
        own = next_child({"PATH": os.defpath})
        first = next_child(None)
        own.end()
        first.end()
    assert own.pid != first.pid == early.pid


def test_a_child_that_no_task_has_taken_ends() -> None:
    before = set(psutil.Process().children())
    with one_child_early():
        (early,) = set(psutil.Process().children()) - before
    assert not psutil.pid_exists(early.pid)


def test_a_child_ends_with_who_started_it_early() -> None:
    code = "import time\nfrom backupman.children import one_child_early\nwith one_child_early():\n"
    code += "    print(flush=True)\n    time.sleep(600)\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        starter.stdout.readline()
        (early,) = psutil.Process(starter.pid).children()
        starter.kill()
    psutil.wait_procs([early], timeout=_SOON)
    assert not early.is_running()


def test_what_is_handed_over_stays_open_as_long_as_the_child_lives() -> None:
    """A source's lock, with which it is never dumped twice at once."""
    reads, writes = os.pipe()
    child = Child()
    child.hand_over([writes])
    os.close(writes)
    assert select.select([reads], [], [], 0)[0] == []  # the end of the pipe would make it readable
    child.end()
    assert os.read(reads, 1) == b""
    os.close(reads)


def test_a_child_that_dies_before_its_task_fails_it() -> None:
    before = set(psutil.Process().children())
    with one_child_early():
        (early,) = set(psutil.Process().children()) - before
        os.kill(early.pid, signal.SIGKILL)
        with pytest.raises(BackupmanError, match="the process that moves the data was killed by signal 9"):
            DataPlane().run(DatabasesTask(source={"provider": "sqlite"}))


def test_a_child_that_dies_in_the_middle_of_a_word_is_said_to_have_died(monkeypatch: pytest.MonkeyPatch) -> None:
    dying = 'import os; os.read(0, 1); os.write(1, b\'{"type": "databases", "na\'); os.kill(os.getpid(), 9)'
    monkeypatch.setattr("backupman.children._PROGRAM", dying)
    with pytest.raises(BackupmanError, match="was killed by signal 9 before it was done"):
        DataPlane().run(DatabasesTask(source={}))


def test_a_child_that_cannot_be_started_early_stops_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setattr(sys, "executable", "/nonexistent/python")
        early = one_child_early()
        early.__enter__()
    child = next_child(None)
    child.end()
    early.__exit__(None, None, None)
    assert not child.alive
