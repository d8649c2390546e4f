"""Native tools as child processes: found, started without a secret in argv, read to the end, ended with us.

A tool stays in the session of the process that starts it, so that ending the session ends the tool too.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO, cast

from backupman.errors import DumpError, SourceError
from backupman.writing import widened

_END_GRACE = 10.0
_LAST_WORDS = 1.0
"""Seconds to wait for the end of standard error once the tool is gone: a child of its own may hold it open."""

_STDERR_KEPT = 8192
_READ_AT_MOST = 512 * 2**20
"""Bytes a second that no tool reads faster."""
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "HOME", "LD_LIBRARY_PATH")


def find_tool(label: str, names: Sequence[str], tool_path: Path | None, package: str) -> Path:
    """The first of `names` that is installed.

    `tool_path` is the program itself or the folder that holds it; without it the PATH is searched.

    Raises:
        DumpError: none is there; the sentence says which package brings it.
    """
    if tool_path is not None and os.access(tool_path, os.F_OK) and tool_path.is_file():
        return tool_path
    for name in names:
        if found := shutil.which(name, path=str(tool_path) if tool_path else None):
            return Path(found)
    where = f"in {tool_path}" if tool_path else "on the PATH"
    raise DumpError(
        f"{label}: {' or '.join(names)} is not {where}; install it (Debian: {package}) or set tool_path", permanent=True
    )


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A cleared environment for a tool: only what it needs to run, plus `extra`."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return kept | dict(extra or {})


@contextmanager
def secret_file(text: str) -> Iterator[str]:
    """The path of a file that exists in memory only, mode 0600, for tools that read a password from a file.

    Pass its descriptor on with `pass_fds=(descriptor(path),)`.
    """
    fd = os.memfd_create("backupman-secret")
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, text.encode())
        yield f"/dev/fd/{fd}"
    finally:
        os.close(fd)


def descriptor(path: str) -> int:
    """The descriptor behind a path that `secret_file` gave."""
    return int(path.rsplit("/", 1)[1])


class Tool:
    """A running tool: `stdout` is its stream, `stderr()` the end of what it said on standard error.

    With `fed` it reads what `feed` writes. `heard` is given what it says on standard error, in a thread.
    """

    def __init__(
        self,
        label: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        cwd: Path | None = None,
        fed: bool = False,
        heard: Callable[[bytes], None] | None = None,
    ) -> None:
        self.label = label
        self.name = Path(argv[0]).name
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env),
                cwd=cwd,
                pass_fds=tuple(pass_fds),
                bufsize=0,
            )
        except OSError as error:
            raise DumpError(f"{label}: {argv[0]} cannot be started: {error.strerror}", permanent=True) from error
        self.stdout = cast(BinaryIO, self._process.stdout)
        widened(self.stdout.fileno())
        if self._process.stdin:
            os.set_blocking(self._process.stdin.fileno(), False)
            self._rest = widened(self._process.stdin.fileno()) / _READ_AT_MOST
        self._said = b""
        self._heard = heard
        self._listener = Thread(target=self._listen, name=f"{self.name}-stderr", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - asked for above
        while chunk := self._process.stderr.read(4096):
            self._said = (self._said + chunk)[-_STDERR_KEPT:]
            if self._heard:
                self._heard(chunk)

    def feed(self, data: bytes) -> bool:
        """Write all of it to the tool's standard input; False when the tool reads no more.

        A pipe that is full is left alone until the tool may have emptied it: who waits in `write` is woken for each
        page that the tool takes, a quarter of a million times for a gigabyte.
        """
        assert self._process.stdin is not None  # noqa: S101 - `fed` was asked for
        view = memoryview(data)
        try:
            while view:
                if taken := self._process.stdin.write(view):
                    view = view[taken:]
                else:
                    time.sleep(self._rest)
        except BrokenPipeError:
            return False
        return True

    def end_of_input(self) -> None:
        """Tell the tool that this was all."""
        assert self._process.stdin is not None  # noqa: S101 - `fed` was asked for
        self._process.stdin.close()

    def stderr(self) -> str:
        """The end of what the tool said on standard error, stripped."""
        return self._said.decode(errors="replace").strip()

    def wait(self) -> None:
        """Wait for the end.

        Raises:
            DumpError: the tool's exit code is not 0; the sentence holds its last words.
        """
        code = self._process.wait()
        self._listener.join(timeout=_LAST_WORDS)
        if code != 0:
            why = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
            said = self.stderr()
            raise DumpError(f"{self.label}: {self.name} {why}: {said or 'it said nothing'}", output=said)

    def ended(self, within: float) -> bool:
        """Whether it ends within so many seconds. Raises DumpError as `wait` does."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        self.wait()
        return True

    def terminate(self) -> None:
        """Ask the tool to end, and wait for nothing: another thread may still be reading."""
        if self._process.poll() is None:
            with suppress(PermissionError):  # it may be another account's by now, as sudo is
                self._process.terminate()

    def end(self) -> None:
        """End the tool if it still runs: SIGTERM, and SIGKILL after a while; one that we may not end is left alone."""
        self.stdout.close()
        if self._process.poll() is None:
            # Before its standard input ends, which a tool would take for the end of what it is to do.
            for ask in (self.terminate, self._process.kill):
                with suppress(PermissionError, subprocess.TimeoutExpired):
                    ask()
                    self._process.wait(_END_GRACE)
        if self._process.stdin:
            self._process.stdin.close()
        self._listener.join(timeout=_LAST_WORDS)
        if not self._listener.is_alive():
            cast(BinaryIO, self._process.stderr).close()


@contextmanager
def running(
    label: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
    fed: bool = False,
    heard: Callable[[bytes], None] | None = None,
) -> Iterator[Tool]:
    """A tool while the `with` lasts: a clean exit waits for it, an exception ends it.

    Raises:
        DumpError: the tool cannot be started, or its exit code is not 0.
    """
    tool = Tool(
        label, argv, env=environment() if env is None else env, pass_fds=pass_fds, cwd=cwd, fed=fed, heard=heard
    )
    try:
        yield tool
        tool.stdout.close()  # or a tool whose output was not read to the end would never end
        tool.wait()
    finally:
        tool.end()


def output(
    label: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    timeout: float | None = 60,
    script: str = "",
) -> str:
    """What a tool prints that reads `script`, if anything; for example its version.

    Raises:
        SourceError: it cannot be started, fails, or takes longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            argv,
            input=script.encode(errors="surrogateescape"),
            capture_output=True,
            env=environment() if env is None else dict(env),
            pass_fds=tuple(pass_fds),
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(f"{label}: {argv[0]} cannot be used: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        why = f"failed with exit code {done.returncode}: {said}"
        raise SourceError(f"{label}: {Path(argv[0]).name} {why}", output=said)
    return done.stdout.decode(errors="replace")
