"""A tool as a child process: what it reads, what it says, and pipes on a machine that has no room for large ones."""

import errno
import fcntl
import os
from typing import Any

import pytest

from backupman.errors import DumpError, NoRoom
from backupman.sources._process import running

_MIB = 2**20


def test_what_a_slow_tool_is_fed_arrives_whole() -> None:
    pieces = [bytes([number]) * _MIB for number in range(8)]
    with running("Shop", ["sh", "-c", "sleep 0.1; cksum"], fed=True) as tool:
        assert all(tool.feed(piece) for piece in pieces)
        tool.end_of_input()
        counted = tool.stdout.read()
    with running("Shop", ["cksum"], fed=True) as tool:
        assert tool.feed(b"".join(pieces))
        tool.end_of_input()
        assert tool.stdout.read() == counted


def test_a_tool_that_reads_no_more_is_noticed() -> None:
    ended = pytest.raises(DumpError, match="Shop: sh failed with exit code 3")
    with ended, running("Shop", ["sh", "-c", "exit 3"], fed=True) as tool:
        while tool.feed(bytes(_MIB)):
            pass


def test_a_tool_that_may_not_be_ended_hides_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(_process: int, _sign: int) -> None:  # as the system does of `sudo`, which is root's by then
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    full = pytest.raises(NoRoom, match="the disk is full")
    with monkeypatch.context() as system, full, running("Shop", ["sh", "-c", "echo row; exec sleep 300"]) as tool:
        assert tool.stdout.read(100) == b"row\n"
        system.setattr("backupman.sources._process._END_GRACE", 0.01)
        system.setattr(os, "kill", refusing)
        raise NoRoom("the disk is full")
    tool.end()


def test_an_account_that_may_have_no_large_pipes_has_tools_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.fcntl

    def refusing(fd: int, command: int, argument: Any = 0) -> Any:
        if command == fcntl.F_SETPIPE_SZ:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(fd, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refusing)
    with running("Shop", ["cat"], fed=True) as tool:
        assert tool.feed(b"rows")
        tool.end_of_input()
        assert tool.stdout.read() == b"rows"
