"""Commands in processes that are forked from one which has imported the program already: the same, without the imports.

Importing takes longer than most commands do. Whatever looks at the start of the program itself, or gives it an
environment of its own, starts it as a user does.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory

_IMPORTED = ["backupman.app", "backupman.cli.run", "backupman.engine.restores", "rich.progress", "rich.table"]

_context: ForkServerContext = multiprocessing.get_context("forkserver")


def run(words: Sequence[str], folder: Path, env: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command.

    Raises:
        TimeoutError: it did not end; it has been killed.
    """
    _context.set_forkserver_preload([*_IMPORTED, __name__])
    with TemporaryDirectory() as pipes:
        places = [Path(pipes, name) for name in ("out", "err")]
        for place in places:
            os.mkfifo(place)
        process = _context.Process(target=_command, args=(list(words), str(folder), dict(env), [*map(str, places)]))
        process.start()
        said = ["", ""]

        def listen(index: int) -> None:
            said[index] = places[index].read_text(encoding="utf-8")

        listeners = [threading.Thread(target=listen, args=(index,), daemon=True) for index in range(2)]
        for listener in listeners:
            listener.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError(f"{' '.join(words)}: {said}")
        for listener in listeners:
            listener.join(timeout)
        assert process.exitcode is not None
        code = process.exitcode
        process.close()
        return code, said[0], said[1]


def _command(words: list[str], folder: str, env: dict[str, str], places: list[str]) -> None:
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
    from backupman.cli import main

    sys.exit(main())
