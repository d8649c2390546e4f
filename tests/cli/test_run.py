"""`run` and `retry` through the real process: exit codes, what is said where, signals, and what is owed at the end."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Inside
from tests.e2e.world import World, end, wait_for

SLOW = {"provider": "command", "label": "Slow", "argv": ["sh", "-c", "head -c 20000000 /dev/urandom; sleep 600"]}


def gone(label: str = "Gone") -> dict[str, str]:
    """A source that fails at once."""
    return {"provider": "sqlite", "label": label, "db_path": f"{label}.db"}


def test_all_finished(world: World) -> None:
    ended = world.run("run")
    assert ended.code == 0
    (backup,) = world.backups()
    assert ended.out.startswith("✓ App: ")
    assert "on Disk" in ended.out
    assert "1 backup finished." in ended.out
    assert f"backupman show {backup['Id'][:8]}" in ended.out
    lines = ended.err.splitlines()
    assert [line.split("App: ")[1].split(" ")[0] for line in lines] == ["backup", "dumped", "stored", "finished"]


def test_a_failure_is_said_in_full_with_what_to_do_next(world: World) -> None:
    world.config["data_sources"].append(gone())
    ended = world.run("run", "-c", str(world.config_file))
    assert ended.code == 1
    failed = next(backup for backup in world.backups() if backup["Status"] == "failed")
    assert "✓ App: " in ended.out
    assert "✗ Gone: failed" in ended.out
    assert failed["Error"] in ended.out
    assert "1 backup finished, 1 failed." in ended.out
    assert f"backupman show {failed['Id'][:8]} -c {world.config_file}" in ended.out
    assert f"backupman retry {failed['Id'][:8]} -c {world.config_file}" in ended.out
    assert failed["Error"] in ended.err


def test_quiet_is_silent_when_all_is_well_and_not_otherwise(world: World) -> None:
    ended = world.run("run", "-q")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    world.config["data_sources"] = [gone()]
    ended = world.run("run", "-q")
    assert (ended.code, ended.out) == (1, "")
    assert "✗ Gone: failed" in ended.err


def test_warnings_and_optional_drives_that_failed_are_said(world: World) -> None:
    (world.folder / "blocked").write_text("")
    blocked = {"provider": "local", "label": "Extra", "folder": str(world.folder / "blocked"), "required": False}
    world.config["drives"].append(blocked)
    ended = world.run("run")
    assert ended.code == 0
    assert "! not on Extra: " in ended.out


def test_json_on_standard_output_is_the_documented_object(world: World) -> None:
    ended = world.run("run", "--json")
    (backup,) = ended.json["Results"]
    assert list(backup)[:7] == ["Id", "Status", "Label", "DumpPath", "CreatedAt", "UpdatedAt", "DriveFiles"]
    assert world.backups() == [backup]
    assert {key: ended.json[key] for key in ("Busy", "Errors", "Owed", "Interrupted")} == {
        "Busy": [],
        "Errors": [],
        "Owed": 0,
        "Interrupted": False,
    }
    assert "finished" in ended.err, "the steps are still told on standard error"


def test_who_asked_and_what_they_said_is_recorded(world: World) -> None:
    world.env = {"SUDO_USER": "ada"}
    world.run("run", "--comment", "before the upgrade", "--tag", "release=7", "--tag", "why=because=so")
    (backup,) = world.backups()
    assert (backup["Trigger"], backup["Operator"], backup["Comment"]) == ("manual", "ada", "before the upgrade")
    assert backup["Tags"] == {"release": "7", "why": "because=so"}


def test_a_source_outside_the_chosen_jobs(world: World) -> None:
    world.config["data_sources"].append(gone())
    world.config["jobs"] = [{"label": "nightly", "data_sources": ["App"]}]
    assert world.run("run", "--job", "nightly").code == 0
    ended = world.run("run", "--job", "nightly", "--source", "Gone")
    assert ended.code == 2
    assert "'Gone'" in ended.err


def test_busy_is_3_and_1_beside_work_and_wait_waits(world: World) -> None:
    world.config["data_sources"] = [SLOW, world.config["data_sources"][0]]
    first = world.start("run", "--source", "Slow")
    wait_for(lambda: world.litter(world.drive))
    alone = world.run("run", "--source", "Slow")
    assert alone.code == 3
    assert "Slow" in alone.err
    beside = world.run("run", "--json")
    assert beside.code == 1
    assert beside.json["Busy"] == ["Slow"]
    assert [backup["Label"] for backup in beside.json["Results"]] == ["App"]
    waiting = world.start("run", "--source", "Slow", "--wait")
    with pytest.raises(AssertionError):
        wait_for(lambda: waiting.poll() is not None, seconds=3)
    assert end(first).code == 130
    wait_for(lambda: len([backup for backup in world.backups() if backup["Label"] == "Slow"]) == 2)
    assert end(waiting).code == 130


def test_a_start_is_told_while_the_backup_is_under_way(world: World) -> None:
    world.config["data_sources"] = [SLOW]
    world.config["notifiers"] = {"healthchecks": {"ping_url": f"{world.receiver.url}/a-check"}}
    process = world.start("run")
    (start,) = world.receiver.wait(1)
    assert start.path.startswith("/a-check/start?rid=")
    assert end(process).code == 130
    _, fail = world.receiver.wait(2)
    assert fail.path == start.path.replace("/start?", "/fail?")
    assert b"interrupted" in fail.body


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_in_good_order(sign: signal.Signals, world: World) -> None:
    world.config["data_sources"] = [SLOW]
    process = world.start("run", "--json")
    wait_for(lambda: world.litter(world.drive))
    ended = end(process, sign)
    assert ended.code == 130
    assert ended.json["Interrupted"] is True
    assert [backup["Status"] for backup in ended.json["Results"]] == ["failed"]
    assert "interrupted" in ended.err.lower()
    assert "Traceback" not in ended.err
    world.assert_clean()


def test_a_second_signal_does_not_break_off_the_first(world: World) -> None:
    world.config["data_sources"] = [SLOW]
    process = world.start("run")
    wait_for(lambda: world.litter(world.drive))
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    ended = end(process, signal.SIGTERM)
    assert ended.code == 130
    assert [backup["Status"] for backup in world.backups()] == ["failed"]
    world.assert_clean()


def test_standard_error_that_is_gone_fails_no_backup(world: World) -> None:
    process = world.start("run", "--json")
    assert process.stderr is not None
    process.stderr.close()
    assert process.stdout is not None
    with process.stdout:
        process.stdout.read()
    assert process.wait(90) == 0
    assert [backup["Status"] for backup in world.backups()] == ["finished"]


def test_last_words_that_nobody_reads_change_no_exit_code(world: World) -> None:
    command = "try: cli.main()\nfinally: print('late', file=sys.stderr)"
    code = f"import sys\nfrom backupman import cli\nsys.stdin.read()\n{command}"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, "version"], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stderr.close()
        process.stdin.close()
        assert process.wait(90) == 0


def test_what_is_still_owed_is_said_with_the_reason(world: World) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/secret-path"
        world.config["notifiers"]["webhook"]["endpoints"][0]["url"] = address
        world.config["deliveries"] = {"first_wait": "1h", "max_wait": "1h"}
        ended = world.run("run", "-q")
    assert (ended.code, ended.out) == (0, "")
    assert "webhook/Hook is still owed 1 message: " in ended.err
    assert "backupman deliveries retry" in ended.err
    assert "secret-path" not in ended.err


def test_what_a_receiver_refused_is_said_too(world: World) -> None:
    world.receiver.answer(400)
    ended = world.run("run")
    assert ended.code == 0, "a notifier never fails a backup"
    assert "webhook/Hook did not take 1 message: " in ended.err


def block(world: World) -> Path:
    """Let the drive fail until the file is removed."""
    world.drive.write_text("a file where a folder should be")
    return world.drive


def test_retry_of_a_failed_upload_goes_on_from_the_kept_dump(world: World) -> None:
    blocked = block(world)
    assert world.run("run").code == 1
    (failed,) = world.backups()
    blocked.unlink()
    ended = world.run("retry", failed["Id"][:6], "--json")
    assert ended.code == 0
    assert [(backup["Id"], backup["Status"]) for backup in ended.json["Results"]] == [(failed["Id"], "finished")]


def test_retry_of_a_finished_backup_makes_the_upload_that_it_did_without(world: World) -> None:
    spare = world.folder / "spare"
    world.config["drives"].append({"provider": "local", "label": "Spare", "folder": str(spare), "required": False})
    spare.touch()
    assert world.run("run").code == 0
    spare.unlink()
    (made,) = world.backups()
    assert [file["Status"] for file in made["DriveFiles"]] == ["finished", "failed"]
    assert "Try again: backupman retry " in world.run("show", "latest").out
    ended = world.run("retry", "latest", "--json")
    (retried,) = ended.json["Results"]
    assert (ended.code, retried["Id"], retried["Status"]) == (0, made["Id"], "finished")
    assert [file["Status"] for file in retried["DriveFiles"]] == ["finished"] * 2
    again = world.run("retry", "latest")
    assert (again.code, "nothing to retry" in again.err) == (2, True)


def test_retry_goes_on_without_a_drive_that_left_the_job(world: World) -> None:
    spare = world.folder / "spare"
    gone = {"provider": "local", "label": "Gone", "folder": str(spare)}
    world.config["drives"].append(gone)
    spare.touch()
    blocked = block(world)
    assert world.run("run").code == 1
    world.config["drives"].remove(gone)
    blocked.unlink()
    (retried,) = world.run("retry", "latest", "--json").json["Results"]
    left = "the drive 'Gone' is not in the job 'default' any more"
    assert [(file["Status"], file["Error"]) for file in retried["DriveFiles"]] == [("finished", None), ("failed", left)]
    again = world.run("retry", "latest")
    assert (again.code, left in again.err) == (1, True)


def test_retry_of_a_failed_dump_makes_a_new_one(world: World) -> None:
    world.config["data_sources"] = [gone()]
    world.run("run")
    assert world.run("retry", "latest").code == 1
    assert [(backup["Trigger"], backup["Status"]) for backup in world.backups()] == [
        ("retry", "failed"),
        ("manual", "failed"),
    ]


def test_retry_of_a_finished_backup_is_a_wrong_call(world: World) -> None:
    world.run("run")
    ended = world.run("retry", "latest")
    assert ended.code == 2
    assert "nothing to retry" in ended.err


def test_retry_all_takes_each_database_once_and_leaves_out_what_has_succeeded_since(world: World) -> None:
    source = world.folder / "app.db"
    moved = source.rename(world.folder / "away.db")
    for _ in range(2):
        assert world.run("run").code == 1
    world.config["data_sources"].append(gone())
    assert world.run("run", "--source", "Gone").code == 1
    moved.rename(source)
    ended = world.run("retry", "--all", "--json")
    assert ended.code == 1
    assert {backup["Label"]: backup["Status"] for backup in ended.json["Results"]} == {
        "App": "finished",
        "Gone": "failed",
    }
    assert len(ended.json["Results"]) == 2
    world.config["data_sources"].pop()
    (world.folder / "Gone.db").write_bytes(source.read_bytes())
    world.config["data_sources"].append(gone())
    assert world.run("retry", "--all").code == 0
    nothing = world.run("retry", "--all")
    assert nothing.code == 0
    assert "nothing to do" in nothing.out


def test_a_fault_that_nobody_has_thought_of_is_recorded_and_told(
    world: World, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr("backupman.engine.runner.backup_task", fault)
    world.write_config()
    ended = inside("run", "-c", str(world.config_file))
    assert ended.code == 1
    [report] = world.reports()
    assert report["Status"] == "failed"
    error = world.backups()[0]["Error"]
    assert error.startswith("App: unexpected BlockingIOError: no more processes; please report it")
