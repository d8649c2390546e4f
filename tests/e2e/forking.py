"""Commands in processes that are forked from one which has imported the program already: the same, without the imports.

Importing takes longer than most commands do. Whatever looks at the start of the program itself, or gives it an
environment of its own, starts it as a user does.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import forked_children

_OPENED_WITHIN = 60.0

_context: ForkServerContext = multiprocessing.get_context("forkserver")


class Forked:
    """A command under way, with what `subprocess.Popen` offers.

    Args:
        main: the dotted name of its main function.
        children: whom it has its children of the data plane from; None: it starts them as ever.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        main: str = "backupman.cli.main",
        children: bytes | None = None,
    ):
        _context.set_forkserver_preload(["tests.e2e._warm", __name__])
        self._said: tuple[list[str], list[str]] = ([], [])
        self._words = list(words)
        with TemporaryDirectory() as pipes:
            places = [str(Path(pipes, name)) for name in ("out", "err")]
            for place in places:
                os.mkfifo(place)
            self._process = _context.Process(
                target=_command, args=(main, self._words, str(folder), dict(env), places, children)
            )
            self._process.start()
            opened = [threading.Event() for _ in places]
            self._listeners = [
                threading.Thread(target=_listen, args=each, daemon=True)
                for each in zip(places, self._said, opened, strict=True)
            ]
            for listener in self._listeners:
                listener.start()
            for one in opened:
                assert one.wait(_OPENED_WITHIN), f"{self} does not begin"
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, once it has ended; negative for a signal."""
        return self._process.exitcode

    @property
    def err(self) -> str:
        """Standard error as far as it has come."""
        return "".join(self._said[1])

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 120) -> int:
        """Its exit code, once it has ended. TimeoutError: it has not, and was killed."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            self._process.join()
            raise TimeoutError(f"{self} did not end: {self._said}")
        return self._process.exitcode

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """All that it has said, once it and whoever else holds its outputs have ended."""
        self.wait(timeout)
        for listener in self._listeners:
            listener.join(timeout)
        return "".join(self._said[0]), self.err

    def send_signal(self, sign: int) -> None:
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def __str__(self) -> str:
        return f"`backupman {' '.join(self._words)}`"


def run(words: Sequence[str], folder: Path, env: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command.

    Raises:
        TimeoutError: it did not end; it has been killed.
    """
    command = Forked(words, folder, env, children=forked_children.server())
    out, err = command.communicate(timeout)
    return command.wait(), out, err


def _listen(place: str, said: list[str], opened: threading.Event) -> None:
    with Path(place).open(encoding="utf-8") as pipe:
        opened.set()
        said.extend(iter(pipe.readline, ""))


def _command(
    main: str, words: list[str], folder: str, env: dict[str, str], places: list[str], children: bytes | None
) -> None:
    """In the forked process: what `python -m backupman` does."""
    for fd, place in enumerate(places, 1):
        pipe = os.open(place, os.O_WRONLY)
        os.dup2(pipe, fd)
        os.close(pipe)
    for fd, name in ((1, "stdout"), (2, "stderr")):
        setattr(sys, name, open(fd, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115 - until the end
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["backupman", *words]
    if children:
        forked_children.come_from(lambda: children)
    module, function = main.rsplit(".", 1)
    sys.exit(getattr(import_module(module), function)())
