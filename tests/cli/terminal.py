"""A terminal for the real process: 80 columns wide, everything that is drawn on it recorded."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command that runs on a terminal of its own, as its controlling one."""

    def __init__(self, *words: str, cwd: Path, columns: int = 80, env: dict[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "backupman", *words],
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=inherited | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | (env or {}),
        )
        os.close(slave)
        self.raw = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """What was drawn so far, without colours and movements."""
        return _ESCAPES.sub("", self.raw).replace("\r", "")

    def read_until(self, words: str, seconds: float = 90) -> None:
        """Record until the words were drawn."""
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} was not drawn: {self.text[-2000:]}"
            assert self._read(), f"{words!r} was not drawn before the end: {self.text[-2000:]}"

    def wait_until_hidden(self, seconds: float = 90) -> None:
        """Wait until what is typed is not shown; what was typed before that would be thrown away."""
        deadline = time.monotonic() + seconds
        while termios.tcgetattr(self._master)[3] & termios.ECHO:
            assert time.monotonic() < deadline, "what is typed is still shown"
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def end(self, seconds: float = 120) -> int:
        """Record to the end; the exit code."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, f"the command did not end: {self.text[-2000:]}"
        return self.process.wait(5)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: the other end is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)
