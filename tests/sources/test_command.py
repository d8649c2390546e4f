"""A command is started as it is written, and its dump is good only if it says so in every way."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from backupman.errors import DumpError
from backupman.sources import Source, _process
from backupman.sources.command import Command
from tests.contracts._children import children
from tests.contracts.source import SIZE, ToolContract, dumped
from tests.servers import ODD_PASSWORD

LINES = """
import os
for number in range(600000):
    print("row", number)
print("-- whole")
"""


def command(script: str = "", **settings: object) -> Command:
    given = {"provider": "command", "label": "Redis", "argv": [sys.executable, "-c", script]}
    return Command.model_validate({**given, **settings})


class TestCommand(ToolContract):
    tool = Path(sys.executable).name
    package = "install it, or correct argv"
    secret_in_environ = True

    @pytest.fixture
    def source(self) -> Command:
        return command(LINES, env={"REDISCLI_AUTH": ODD_PASSWORD}, trailer="-- whole")

    @pytest.fixture
    def without_tool(self, source: Source) -> Source:
        return source.model_copy(update={"argv": ["no-such-program"]})

    @pytest.fixture
    def rows(self) -> list[str]:
        return [f"row {number}" for number in range(600000)]

    @pytest.fixture
    def restored_rows(self) -> Callable[[bytes], list[str]]:
        return lambda data: data.decode().splitlines()[:-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_its_name_is_the_label_unless_it_has_one_of_its_own() -> None:
    assert command().list_databases() == ["Redis"]
    assert command(database="cache").list_databases() == ["cache"]
    assert not command().many
    assert (command().suffix_of(""), command(suffix=".rdb").suffix_of("")) == (".dump", ".rdb")


@pytest.mark.parametrize(
    "wrong", [{"argv": []}, {"argv": "ls"}, {"suffix": "rdb"}, {"suffix": "./../x"}, {"min_size": 0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        command("", **wrong)


def test_no_shell_reads_the_arguments(folder: Path) -> None:
    words = ["$HOME", "`id`", "a; b", "'\"", "*", "ß😀", ""]
    source = command(argv=["/usr/bin/printf", "%s\\0", *words])
    _, data = dumped(source, folder)
    assert data.decode().split("\0")[:-1] == words


def test_the_environment_is_the_programs_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUPMAN_TOKEN", "of the daemon")
    _, data = dumped(command(argv=["env", "-0"], env={"AUTH": ODD_PASSWORD}, cwd=folder), folder)
    seen = dict(line.split("=", 1) for line in data.decode().split("\0")[:-1])
    assert seen["AUTH"] == ODD_PASSWORD
    assert "BACKUPMAN_TOKEN" not in seen
    assert "PATH" in seen


def test_it_starts_in_its_folder(tmp_path: Path) -> None:
    place = tmp_path / "a folder"
    place.mkdir()
    script = place / "tool"
    script.write_text("#!/bin/sh\npwd\n")
    script.chmod(0o755)
    source = command(argv=["./tool"], cwd=place)
    source.check()
    assert dumped(source, tmp_path)[1].decode() == f"{place}\n"
    with pytest.raises(DumpError, match="correct cwd"):
        source.model_copy(update={"cwd": tmp_path / "gone"}).check()
    script.chmod(0o644)
    with pytest.raises(DumpError, match="may not be run"):
        source.check()


def refused(source: Command, folder: Path) -> str:
    with pytest.raises(DumpError, match=r"^Redis: ") as raised:
        dumped(source, folder)
    assert children() == []
    return str(raised.value)


def test_a_program_that_prints_nothing_has_failed(folder: Path) -> None:
    assert "is empty although" in refused(command("pass"), folder)


def test_a_program_that_prints_too_little_has_failed(folder: Path) -> None:
    dumped(command("print('x' * 1023)", min_size="1KiB"), folder)
    assert "it has 1023 bytes, and min_size is 1024" in refused(command("print('x' * 1022)", min_size="1KiB"), folder)


def test_a_program_without_its_trailer_has_failed(folder: Path) -> None:
    source = command("print('-- whole'); print('x' * 5000)", trailer="-- whole")
    assert "'-- whole' is not at its end" in refused(source, folder)


def test_a_program_that_fails_at_the_end_has_failed(folder: Path) -> None:
    script = f"import sys; print('x' * {SIZE}); sys.exit('the connection went away')"
    assert "failed with exit code 1: the connection went away" in refused(command(script, min_size=1), folder)


def test_an_error_does_not_repeat_a_secret(folder: Path) -> None:
    script = "import os, sys; print('x'); sys.exit('cannot log in with ' + os.environ['AUTH'])"
    with pytest.raises(DumpError, match=r"cannot log in with \*\*\*") as raised:
        dumped(command(script, env={"AUTH": ODD_PASSWORD}), folder)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_program_that_does_not_hear_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_process, "_END_GRACE", 0.3)
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
    )
    with pytest.raises(KeyError), command(script).dump("Redis", folder) as dump:
        assert dump.stream.read(1)
        raise KeyError
    assert children() == []
