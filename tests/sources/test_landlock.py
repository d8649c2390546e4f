"""What a program in a throwaway server can still reach of this machine, as the very account of Backupman."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from backupman.sources._landlock import kept_to
from tests.servers import unavailable

SHELL = Path("/bin/sh")
DEBIAN = "lib/postgresql/15/bin"
ORDINARY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
"""Makes root an account like any other, which no server runs as."""


def done(script: str, folder: Path, *words: object, program: Path = SHELL) -> subprocess.CompletedProcess[str]:
    with kept_to(folder, program) as restrict:
        if restrict is None:
            unavailable("landlock", "the kernel has no Landlock")
        return subprocess.run(
            [*ORDINARY, SHELL, "-c", script, "-", *map(str, words)],
            preexec_fn=restrict,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def test_it_does_as_it_likes_in_its_own_folder(own: Path) -> None:
    script = 'cd "$1" && mkdir a b && echo text > a/file && mv a/file b/ && ln -s file b/link && cat b/link && rm -r a'
    it = done(script, own, own)
    assert (it.returncode, it.stdout, it.stderr) == (0, "text\n", "")


def test_it_finds_the_programs_of_the_system(own: Path) -> None:
    it = done("id -u && date > /dev/null && head -c 1 /dev/urandom | wc -c", own)
    assert (it.stdout.split(), it.stderr) == ([str(os.geteuid()), "1"], "")


@pytest.mark.parametrize(
    "script",
    [
        'cat "$1/config.yml"',
        'ls "$1"',
        'echo no > "$1/config.yml"',
        'echo no > "$1/new"',
        'rm "$1/config.yml"',
        'mv "$1/config.yml" "$1/own/"',
        'ln "$1/config.yml" "$1/own/"',
        '"$1/program"',
    ],
)
def test_it_reaches_no_other_file(script: str, own: Path) -> None:
    (own.parent / "config.yml").write_text("password: secret")
    (own.parent / "program").write_text("#!/bin/sh\n")
    (own.parent / "program").chmod(0o755)
    it = done(script, own, own.parent)
    assert it.returncode != 0
    assert "Permission denied" in it.stderr or "cross-device link" in it.stderr
    assert "secret" not in it.stdout
    assert sorted(path.name for path in own.parent.rglob("*")) == ["config.yml", "own", "program"]
    assert (own.parent / "config.yml").read_text() == "password: secret"


@pytest.mark.parametrize("place", ["bin", "programs"])
def test_a_program_elsewhere_finds_those_beside_it_and_no_data(place: str, own: Path) -> None:
    program = own.parent / "elsewhere" / place / "server"
    data = (program.with_name("settings"), own.parent / "elsewhere" / "data", own.parent / "config.yml")
    other = program.with_name("other")
    program.parent.mkdir(parents=True)
    for path in (program, other, *data):
        path.write_text("#!/bin/sh\necho reached\n")
        path.chmod(0o755 if path in (program, other) else 0o644)
    link = own.parent / "server"
    link.symlink_to(program)
    it = done('"$1" && "$2"', own, link, other, program=link)
    assert (it.stdout.split(), it.stderr) == (["reached", "reached"], "")
    for path in data[place == "bin" :]:  # what lies among programs is one's own choice
        assert "denied" in done('cat "$1"', own, path, program=link).stderr


@pytest.mark.parametrize(
    ("program", "part"),
    [("bin", "lib"), ("scripts", "share"), (DEBIAN, "lib/postgresql/15/lib"), (DEBIAN, "share/postgresql/15")],
)
def test_a_program_elsewhere_finds_what_was_installed_with_it(program: str, part: str, own: Path) -> None:
    file = own.parent / "elsewhere" / part / "file"
    file.parent.mkdir(parents=True)
    file.write_text("text")
    it = done('cat "$1"', own, file, program=own.parent / "elsewhere" / program / "server")
    assert (it.stdout, it.stderr) == ("text", "")


def test_it_finds_the_libraries_that_the_loader_is_told_of(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = own.parent / "libraries" / "library"
    library.parent.mkdir()
    library.write_text("text")
    assert "denied" in done('cat "$1"', own, library).stderr
    monkeypatch.setenv("LD_LIBRARY_PATH", f":/nowhere:{library.parent}")
    assert done('cat "$1"', own, library).stdout == "text"


@pytest.mark.parametrize("what", ["environ", "mem", "maps", "fd/0", "cwd/"])
def test_it_cannot_look_into_another_process(what: str, own: Path) -> None:
    it = done('head -c 1 "/proc/$1/$2"', own, os.getpid(), what)
    assert it.returncode != 0
    assert "denied" in it.stderr


def test_it_may_not_connect_to_a_port(own: Path) -> None:
    python = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))"
    with socket.create_server(("127.0.0.1", 0)) as server:
        it = done('/usr/bin/env python3 -c "$1" "$2"', own, python, server.getsockname()[1])
    assert "PermissionError" in it.stderr


def test_it_may_not_signal_another_process(own: Path) -> None:
    it = done('kill -0 "$1"', own, os.getpid())
    assert "not permitted" in it.stderr
