"""`backupman exec` is not there as far as the command can tell, and what came of it is on record."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.cli.terminal import Terminal
from tests.e2e.test_crashes import Service
from tests.e2e.test_service import answers, api
from tests.e2e.world import Ended, World, wait_for
from tests.servers._process import free_port


def configure(world: World) -> None:
    """Write the config where the command finds it."""
    world.config_file.write_text(yaml.safe_dump(world.config))


def wrapped(world: World, *words: str, stdin: bytes = b"") -> Ended:
    """Run `backupman exec` with these words."""
    process = started(world, *words)
    out, err = process.communicate(stdin, timeout=60)
    return Ended(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def started(
    world: World, *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[bytes]":
    """Start `backupman exec` with these words."""
    configure(world)
    return subprocess.Popen(
        [sys.executable, "-m", "backupman", "exec", *words],
        cwd=world.folder,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env=dict(os.environ) | {"BACKUPMAN_CONFIG": str(world.config_file), "PYTHONPATH": str(Path.cwd())} | world.env,
    )


def results(world: World) -> list[dict[str, Any]]:
    """The payloads of the reports that were delivered, the oldest first."""
    return [json.loads(request.body)["Payload"] for request in world.receiver.requests]


@pytest.fixture
def listening(world: World) -> World:
    """A world whose webhook is told everything that is known."""
    world.config["notifiers"]["webhook"]["endpoints"][0]["extended"] = True
    return world


def test_a_command_that_ends_well_is_a_finished_backup(listening: World) -> None:
    ended = wrapped(listening, "--job", "Nightly rsync", "--", "sh", "-c", "echo sent 142 GB; echo careful >&2")
    assert (ended.code, ended.out, ended.err) == (0, "sent 142 GB\n", "careful\n")
    (told,) = results(listening)
    assert (told["Status"], told["Label"], told["Job"]) == ("finished", "Nightly rsync", "Nightly rsync")
    assert (told["Device"], told["Sender"], told["Kind"]) == ("test-host", "unknown@ingest", "ingested")
    assert sorted(told["Message"].splitlines()) == ["careful", "sent 142 GB"]
    assert (told["SaidStatus"], told["Error"]) == ("Success", None)
    assert told["Seconds"] > 0


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("exit 3", 3, "exit code 3"),
        ("echo no space left; exit 1", 1, "exit code 1\nno space left"),
        ("exit 255", 255, "exit code 255"),
        ("kill -KILL $$", 137, "ended by SIGKILL"),
        ("kill -TERM $$", 143, "ended by SIGTERM"),
        ("true", 0, "it printed nothing"),
    ],
)
def test_the_exit_code_is_kept_and_told(listening: World, script: str, code: int, message: str) -> None:
    ended = wrapped(listening, "--job", "x", "--device", "nas", "--sender", "cron", "--", "sh", "-c", script)
    assert ended.code == code
    (told,) = results(listening)
    assert (told["Status"], told["Message"]) == ("failed" if code else "finished", message)
    assert (told["Device"], told["Sender"], told["SaidStatus"]) == ("nas", "cron", "Error" if code else "Success")
    assert told["Error"] == (message if code else None)


def test_a_command_that_cannot_be_run_has_a_shells_exit_code(listening: World) -> None:
    script = listening.folder / "script"
    script.write_text("no program")
    for command, code, words in (
        ("/nowhere/to/be/found", 127, "cannot be run: No such file or directory"),
        (str(script), 126, "cannot be run: Permission denied"),
    ):
        ended = wrapped(listening, "--job", command, "--", command)
        assert ended.code == code
        assert ended.err == f"Error: {command} {words}\n"
        assert results(listening)[-1]["Message"] == f"{command} {words}"


def test_input_and_output_pass_through_byte_by_byte(listening: World) -> None:
    odd = bytes(range(256)) * 1000
    process = started(listening, "--job", "x", "--", "cat")
    out, err = process.communicate(odd, timeout=60)
    assert (process.returncode, out, err) == (0, odd, b"")
    (told,) = results(listening)
    assert len(told["Message"].encode()) <= 3 * 16 * 1024


def test_output_passes_through_while_it_is_made(listening: World) -> None:
    process = started(listening, "--job", "x", "--", "sh", "-c", "echo first; read line; echo $line")
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"first\n"
    out, _ = process.communicate(b"second\n", timeout=60)
    assert out == b"second\n"


def test_options_behind_the_command_are_its_own(listening: World) -> None:
    for separator in (["--"], []):
        ended = wrapped(listening, "--job", "x", *separator, "printf", "%s|", "--job", "-v", "--", "-c", "a b", "")
        assert (ended.code, ended.out) == (0, "--job|-v|--|-c|a b||")


def test_only_the_last_lines_are_kept(listening: World) -> None:
    ended = wrapped(listening, "--job", "x", "--", "seq", "100000")
    assert ended.out.count("\n") == 100_000
    assert results(listening)[0]["Message"].splitlines() == [str(number) for number in range(99_951, 100_001)]


def test_a_reader_that_went_away_does_not_hurt_the_command(listening: World) -> None:
    done = listening.folder / "done"
    with started(listening, "--job", "x", "--", "sh", "-c", f"seq 1000000; echo end >&2; touch {done}") as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(60) == 0
    assert done.exists()
    assert results(listening)[0]["Status"] == "finished"


def test_output_and_errors_that_go_to_one_place_keep_their_order(listening: World) -> None:
    lines = [f"{stream} {number}" for number in range(100) for stream in ("out", "err")]
    script = "for i in $(seq 0 99); do echo out $i; echo err $i >&2; done"
    process = started(listening, "--job", "x", "--", "sh", "-c", script, stderr=subprocess.STDOUT)
    out, _ = process.communicate(timeout=60)
    assert out.decode().splitlines() == lines
    assert results(listening)[0]["Message"].splitlines() == lines[-50:]


def test_without_standard_streams_nothing_else_is_written_to(listening: World) -> None:
    configure(listening)
    words = [sys.executable, "-m", "backupman", "exec", "--job", "x", "--", "seq", "1000"]
    env = dict(os.environ) | {"BACKUPMAN_CONFIG": str(listening.config_file)}
    shell = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *words]
    assert subprocess.run(shell, env=env, timeout=60, check=False).returncode == 0
    assert results(listening)[0]["Message"].splitlines()[-1] == "1000"


def test_output_that_nobody_takes_for_a_while_is_not_lost(listening: World) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = started(listening, "--job", "x", "--", "seq", "100000", stdout=writing)
    os.close(writing)
    wait_for(lambda: len(psutil.Process(process.pid).children()) == 1)
    with os.fdopen(reading) as output:
        assert output.read().split() == [str(number) for number in range(1, 100_001)]
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


def test_secrets_of_the_config_pass_through_and_are_not_kept(listening: World) -> None:
    key = listening.folder / "key"
    key.write_text("s3cret-of-the-disk")
    listening.config["drives"][0]["folder"] = str(listening.folder / f"${{file:{key}}}")
    listening.config["http"] = {"api_keys": ["s3cret-key"]}
    ended = wrapped(listening, "--job", "x", "--", "sh", "-c", f"echo t0ken s3cret-key `cat {key}`; exit 1")
    assert ended.out == "t0ken s3cret-key s3cret-of-the-disk\n"
    (told,) = results(listening)
    assert told["Message"] == told["Error"] == "exit code 1\n*** *** ***"


def test_it_works_beside_the_daemon_and_its_results_are_watched(listening: World) -> None:
    listening.config["http"] = {"host": "127.0.0.1", "port": free_port(), "api_keys": ["s3cret-key"]}
    listening.config["jobs"] = [{"label": "by hand"}]
    listening.config["ingest"] = {"jobs": [{"device": "nas", "job": "x", "max_age": "1s"}]}
    listening.config["notifiers"]["webhook"]["endpoints"][0]["events"] = ["backup_report", "backup_late"]
    service = Service(listening)
    wait_for(lambda: answers(listening))
    assert wrapped(listening, "--job", "x", "--device", "nas", "--", "echo", "hello").code == 0
    with api(listening) as client:
        (found,) = client.get("/api/backups", params={"kind": "all"}).json()["Results"]
        assert (found["Label"], found["Status"], found["Message"]) == ("x", "finished", "hello")
        assert client.get("/api/backups").json()["Results"] == []
    service.stop()
    reports = [told for told in listening.receiver.requests if b"backup_report" in told.body]
    assert len(reports) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_is_the_commands_to_handle(listening: World, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo cleaning up; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
    process = started(listening, "--job", "x", "--", "bash", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, b"cleaning up\n")
    (told,) = results(listening)
    assert told["Message"] == "exit code 7\nready\ncleaning up"


def test_ctrl_c_on_a_terminal_reaches_the_command_once(listening: World) -> None:
    configure(listening)
    script = "trap 'echo caught' INT; echo ready; sleep 1; sleep 1; echo over"
    words = ("exec", "--job", "x", "-c", str(listening.config_file), "--", "bash", "-c", script)
    with Terminal(*words, cwd=listening.folder) as terminal:
        terminal.read_until("ready")
        terminal.type("\x03")
        assert terminal.end() == 0
        assert terminal.text.count("caught") == 1
    assert results(listening)[0]["Status"] == "finished"


def test_the_result_is_on_record_while_the_background_still_prints(listening: World) -> None:
    script = f"(while ! test -e {listening.folder}/go-on; do sleep 0.1; done; echo late) & echo early"
    process = started(listening, "--job", "x", "--", "sh", "-c", script)
    wait_for(lambda: results(listening))
    assert process.poll() is None
    (listening.folder / "go-on").touch()
    out, _ = process.communicate(timeout=60)
    assert out == b"early\nlate\n"
    assert process.returncode == 0
    assert results(listening)[0]["Message"] == "early"


@pytest.mark.parametrize("fault", ["config", "no config", "store"])
def test_the_command_is_run_whatever_is_wrong_with_us(listening: World, fault: str) -> None:
    if fault == "config":
        listening.config["drivs"] = []
    elif fault == "no config":
        listening.env["BACKUPMAN_CONFIG"] = str(listening.folder / "nowhere.yml")
    else:
        records = listening.folder / "state" / "backupman.db"
        records.unlink()
        records.mkdir()
    process = listening.start("exec", "--job", "x", "--", "sh", "-c", "echo done; exit 4")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (4, "done\n")
    assert "the result of 'x' was not recorded: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words", [["--job", " ", "--", "true"], ["--job", "x" * 256, "--", "true"], ["--", "true"], ["--job", "x"]]
)
def test_a_call_that_makes_no_sense_runs_nothing(listening: World, words: list[str]) -> None:
    assert wrapped(listening, *words).code == 2
    assert results(listening) == []


def test_a_message_that_nobody_takes_does_not_change_the_exit_code(listening: World) -> None:
    for _ in range(20):
        listening.receiver.answer(503)
    ended = wrapped(listening, "--job", "x", "--drain-timeout", "1s", "--", "sh", "-c", "exit 5")
    assert ended.code == 5


def test_runs_of_one_job_are_one_job_with_several_results(listening: World) -> None:
    for script in ("exit 1", "true", "true"):
        wrapped(listening, "--job", "x", "--", "sh", "-c", script)
    told = results(listening)
    assert [each["Status"] for each in told] == ["failed", "finished", "finished"]
    assert len({each["Id"] for each in told}) == 3
    assert listening.backups() == []  # none of our own
