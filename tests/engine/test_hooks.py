"""Hooks: values arrive as they are and execute nothing, and a hook that fails or hangs ends in one sentence."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backupman.engine.hooks import PLACEHOLDERS, fill, run_hooks
from backupman.errors import HookError

MINUTE = timedelta(minutes=1)
NASTY = [
    "; $(touch x) ' \"",
    "`touch x` && touch x || touch x | touch x & touch x > x",
    "'; touch x; '",
    '"; touch x; "',
    "$HOME ${HOME} $((1+1)) * ? ~ [a-z] {error} {label} \\ \\n",
    "two\nlines\tand\ttabs",
    "-rf --help",
    "",
    " ",
    "ß 🎉 \u202e",
    "%s %d !! ^",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that hooks run in, where nobody may make a file `x`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "show.py").write_text(
        "import json, os, sys; json.dump([sys.argv[1:], dict(os.environ)], open('shown.json', 'w'))"
    )
    return tmp_path


SHOW = [sys.executable, "show.py"]
SHOW_TEXT = shlex.join(SHOW)


def shown() -> list[str]:
    """The words that the command got."""
    words: list[str] = json.loads(Path("shown.json").read_text())[0]
    assert not Path("x").exists()
    return words


def failure(*commands: str | list[str], **values: str) -> HookError:
    """What running the commands ends in."""
    with pytest.raises(HookError) as failed:
        run_hooks(commands, values, MINUTE)
    return failed.value


@pytest.mark.parametrize("value", NASTY)
def test_a_value_is_one_word_of_a_list_and_executes_nothing(value: str) -> None:
    run_hooks([[*SHOW, "{error}", "a{error}b"]], {"error": value}, MINUTE)
    assert shown() == [value, f"a{value}b"]


@pytest.mark.parametrize("value", NASTY)
def test_a_value_is_one_word_of_a_shell_command_and_executes_nothing(value: str) -> None:
    run_hooks([f"{SHOW_TEXT} {{error}} a{{error}}b"], {"error": value}, MINUTE)
    assert shown() == [value, f"a{value}b"]


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize(
    "quoted", ["'{error}'", '"{error}"', '"say {error} twice {error}"', "$(echo {error})", "`echo '{error}'`"]
)
def test_quotes_around_a_placeholder_spoil_the_words_but_execute_nothing(value: str, quoted: str) -> None:
    run_hooks([f"{SHOW_TEXT} {quoted}"], {"error": value}, MINUTE)
    shown()


def test_every_placeholder_is_filled_in_and_is_a_variable_too() -> None:
    values = {name: f"the {name}" for name in PLACEHOLDERS}
    text = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    run_hooks([f"{SHOW_TEXT} {text}"], values, MINUTE)
    assert shown() == list(values.values())
    run_hooks([[*SHOW, *text.split(" ")]], values, MINUTE)
    assert shown() == list(values.values())
    variables = json.loads(Path("shown.json").read_text())[1]
    assert {name: variables[f"BACKUPMAN_{name.upper()}"] for name in PLACEHOLDERS} == values


@pytest.mark.parametrize(
    "text", ["{unknown}", "${label}", "{ label }", "{}", "{'a': 1}", "{label", "label}", "{{error"]
)
def test_other_braces_stay_as_they_are(text: str) -> None:
    assert fill(text, {"label": "x", "error": "y"}, quote=False) == text
    assert fill(text, {"label": "x", "error": "y"}, quote=True) == text


def test_a_value_is_not_filled_in_again() -> None:
    assert fill("{error}", {"error": "{label}", "label": "x"}, quote=False) == "{label}"


def test_what_no_command_can_hold_is_left_out() -> None:
    run_hooks([[*SHOW, "{error}"]], {"error": "a\0b\ud800c" + "x" * 500_000}, MINUTE)
    (word,) = shown()
    assert word.startswith("ab?cxxx")
    assert len(word) < 100_000


def test_a_value_that_is_not_known_is_empty() -> None:
    run_hooks([[*SHOW, "{error}", "{path}"], f"{SHOW_TEXT} {{repository}}"], {}, MINUTE)
    assert shown() == [""]


def test_hooks_run_in_turn_up_to_the_first_that_fails() -> None:
    failed = failure("echo one >> log", "echo two >> log; echo why >&2; exit 3", "echo three >> log")
    assert Path("log").read_text() == "one\ntwo\n"
    assert failed.sentence == "the hook 'echo' failed with exit code 3: why"
    assert failed.output == "why"


def test_a_failure_names_the_program_and_nothing_behind_it() -> None:
    for command in ("TOKEN=S3cret false --password S3cret", ["false", "S3cret"], "exit 7 # S3cret"):
        assert "S3cret" not in failure(command).sentence
    assert failure(["false", "x"]).sentence == "the hook 'false' failed with exit code 1"


def test_both_outputs_are_kept_and_only_their_end() -> None:
    failed = failure("echo first; echo second >&2; exit 1")
    assert failed.output == "first\nsecond"
    failed = failure("yes | head -c 20000000; printf 'the end\\377'; exit 1")
    assert failed.output.endswith("y\nthe end\ufffd")
    assert len(failed.output) <= 4000


def test_a_hook_that_ends_by_a_signal_has_failed() -> None:
    assert failure("kill -9 $$").sentence == "the hook 'kill' failed with exit code -9"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["nowhere-to-be-found"], "the hook 'nowhere-to-be-found' cannot be started: No such file or directory"),
        (["./show.py"], "the hook './show.py' cannot be started: Permission denied"),
        (["."], "the hook '.' cannot be started: Permission denied"),
        (["a\0b"], "the hook 'a\\x00b' cannot be started: it holds a character that no command can hold"),
    ],
)
def test_a_program_that_cannot_be_started_is_one_sentence(command: list[str], sentence: str) -> None:
    assert failure(command).sentence == sentence


def test_the_shell_says_what_it_does_not_find() -> None:
    failed = failure("nowhere-to-be-found")
    assert failed.sentence.startswith("the hook 'nowhere-to-be-found' failed with exit code 127: ")
    assert "not found" in failed.output


def is_running(pid_file: str) -> bool:
    """Whether the process that wrote its id there is still there, and is no zombie."""
    try:
        state = Path(f"/proc/{Path(pid_file).read_text().strip()}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute of a hook is over as soon as it has made a file `far`, however quick or slow the machine is."""

    class Clock:
        asked = 0

        def monotonic(self) -> float:
            self.asked += 1  # at first for the time from which the minute counts
            return time.monotonic() + (61 if self.asked > 1 and Path("far").exists() else 0)

    monkeypatch.setattr("backupman.engine.hooks.time", Clock())


@pytest.mark.usefixtures("over")
def test_a_hook_that_takes_too_long_is_ended_with_all_of_its_children() -> None:
    grandchild = "sh -c 'echo waiting; echo $$ > grandchild; touch far; sleep 300'"
    failed = failure(f"sleep 300 & echo $! > child; {grandchild} & wait")
    assert failed.sentence == "the hook 'sleep' took longer than 60 s and was ended: waiting"
    assert not is_running("child")
    assert not is_running("grandchild")


@pytest.mark.usefixtures("over")
def test_a_hook_that_ignores_the_request_to_end_is_killed() -> None:
    failed = failure("trap '' TERM; echo $$ > shell; touch far; sleep 300; sleep 300")
    assert "took longer than 60 s" in failed.sentence
    assert not is_running("shell")


@pytest.mark.usefixtures("over")
def test_a_hook_may_tidy_up_when_it_is_asked_to_end() -> None:
    failure("trap 'echo tidy > tidied; exit 1' TERM; touch far; sleep 300 & wait")
    assert Path("tidied").read_text() == "tidy\n"


def test_what_a_hook_starts_in_the_background_is_not_waited_for() -> None:
    run_hooks(["sleep 100 & echo $! > child; echo done"], {}, MINUTE)
    assert is_running("child")
    os.kill(int(Path("child").read_text()), 9)


def test_a_hook_is_ended_when_the_run_is_interrupted() -> None:
    with pytest.raises(HookError, match="the hook 'echo' was interrupted"):
        run_hooks(["echo $$ > shell; touch begun; sleep 300; sleep 300"], {}, MINUTE, Path("begun").exists)
    assert not is_running("shell")


def test_a_hook_that_may_not_be_ended_is_said_so_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Known(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    def refusing(_group: int, _sign: int) -> None:  # as the system does of `sudo`, which is root's by then
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("backupman.engine.hooks._GRACE", 0.01)
    with monkeypatch.context() as system:
        system.setattr(subprocess, "Popen", Known)
        system.setattr(os, "killpg", refusing)
        with pytest.raises(HookError) as failed:
            run_hooks(["touch begun; sleep 300; :"], {}, MINUTE, Path("begun").exists)
    (hook,) = started
    os.killpg(hook.pid, signal.SIGKILL)
    hook.wait()
    said = f"the hook 'touch' was interrupted and could not be ended: process {hook.pid} runs on"
    assert failed.value.sentence == said


def test_a_hook_that_reads_finds_nothing_to_read() -> None:
    run_hooks(["cat > read"], {}, MINUTE)
    assert Path("read").read_text() == ""
