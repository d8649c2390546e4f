"""Backups stand back behind others as far as the config says, by the kernel's own figures of running children."""

import gzip
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from backupman.data_plane.priority import Priority
from backupman.engine import doctor
from backupman.engine.disks import deaf_scheduler
from tests.cli.conftest import Inside
from tests.e2e.world import World

LOOK = """
import json, os, pathlib, subprocess
def seen(pid):
    threads = sorted(int(each.name) for each in pathlib.Path(f"/proc/{pid}/task").iterdir())
    asked = ["ionice", "-p", *map(str, threads)]
    classes = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
    return [[os.getpriority(os.PRIO_PROCESS, each), one] for each, one in zip(threads, classes, strict=True)]
print(json.dumps({"tool": seen(os.getpid()), "data plane": seen(os.getppid())}))
"""
"""A dump that tells the nice value and the io class of every thread of its own process and of the one that reads it."""

RECORDER = """#!{python}
import os, pathlib, sys
of_ours = "backupman.data_plane.child" in pathlib.Path(f"/proc/{{sys.argv[-1]}}/cmdline").read_text()
with open("{record}", "a") as record:
    record.write(" ".join(sys.argv[1:-1]) + f" {{of_ours}},")
os.execv("{ionice}", sys.argv)
"""
"""Writes down what ionice was asked for, and whether for a child of ours, and then is ionice."""


def looking(world: World, **settings: str) -> None:
    """Let the source be a program that looks at itself and at who reads it."""
    argv = [sys.executable, "-c", LOOK]
    world.config["data_sources"] = [{"provider": "command", "label": "Look", "argv": argv, **settings}]


def seen(world: World) -> dict[str, list[list[object]]]:
    """What the newest backup's dump says."""
    (file,) = [name for name in world.objects() if name.startswith("look/")]
    found: dict[str, list[list[object]]] = json.loads(gzip.decompress((world.drive / file).read_bytes()))
    return found


def nice_value(pid: int = 0) -> int:
    """That of a process; 0: of this one, which children are born with."""
    return os.getpriority(os.PRIO_PROCESS, pid)


@pytest.mark.parametrize(
    ("asked", "said"), [("idle", "idle"), ("best-effort", "best-effort: prio 7")], ids=["idle", "best-effort"]
)
def test_the_tool_and_every_thread_of_the_data_plane_stand_back(
    world: World, inside: Inside, asked: str, said: str
) -> None:
    looking(world, bandwidth="1GiB")
    world.config |= {"nice": 13, "ionice": asked}
    world.write_config()
    ended = inside("run")
    assert ended.code == 0, ended.err
    found = seen(world)
    assert len(found["tool"]) == 1
    assert len(found["data plane"]) >= 2, "the uploads' threads are there too"
    for threads in found.values():
        assert {tuple(thread) for thread in threads} == {(max(13, nice_value()), said)}
    assert (world.folder / "state/bandwidth/source:look").exists(), "every dump of the source keeps to one pace"


def test_without_settings_nothing_is_changed(world: World, inside: Inside) -> None:
    looking(world)
    world.write_config()
    assert inside("run").code == 0
    assert {nice for threads in seen(world).values() for nice, _ in threads} == {nice_value()}
    assert not (world.folder / "state/bandwidth").exists()


def test_who_stands_back_further_already_stays_there() -> None:
    process = subprocess.Popen(["sleep", "600"])
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)
        Priority(nice=nice_value()).give(process.pid)
        assert nice_value(process.pid) == 19
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("started_children")
def test_backups_proofs_and_reconciling_stand_back_and_a_restore_does_not(
    world: World, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, recorder = world.folder / "asked", world.folder / "bin" / "ionice"
    recorder.parent.mkdir()
    recorder.write_text(RECORDER.format(python=sys.executable, record=record, ionice=shutil.which("ionice")))
    recorder.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{recorder.parent}:{os.environ['PATH']}")
    world.config["ionice"] = "idle"
    world.write_config()
    asked: dict[str, str] = {}
    for command in ("run", "verify latest", "reconcile", f"restore latest --output {world.folder}/back"):
        record.write_text("")
        ended = inside(*command.split())
        assert ended.code == 0, ended.err
        asked[command.split()[0]] = record.read_text()
    assert asked == {"run": "-c 3 -p True,", "verify": "-c 3 -p True,", "reconcile": "-c 3 -p True,", "restore": ""}


def test_where_there_is_no_ionice_the_backup_is_made_and_says_so(
    world: World, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(world.folder))
    world.config["ionice"] = "idle"
    world.write_config()
    ended = inside("run")
    assert ended.code == 0, ended.err
    assert "ionice: idle cannot be set, so the backup competes for the disks: " in ended.err
    assert "the program ionice cannot be run (No such file or directory): install util-linux" in ended.err


@pytest.fixture
def disk(world: World) -> Path:
    """The kernel's folder of a disk, in whose only partition the world stands."""
    device, disk = world.folder.stat().st_dev, world.folder / "sys/devices/vda"
    for folder in (disk / "queue", disk / "slaves", disk / "vda1", world.folder / "sys/dev/block"):
        folder.mkdir(parents=True)
    (world.folder / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").symlink_to(disk / "vda1")
    (disk / "vda1/partition").write_text("1")
    (disk / "queue/scheduler").write_text("[none] mq-deadline kyber bfq\n")
    return disk


def test_a_disk_s_scheduler_knows_ionice_or_not(world: World, disk: Path) -> None:
    def deaf() -> tuple[str, str] | None:
        return deaf_scheduler(world.folder, world.folder / "sys")

    assert deaf() == ("vda", "none")
    for schedulers, expected in {"none [kyber]": "kyber", "none [mq-deadline]": None, "none [bfq]": None}.items():
        (disk / "queue/scheduler").write_text(schedulers)
        assert deaf() == (("vda", expected) if expected else None)
    (disk / "queue/scheduler").write_text("[none]")
    (disk / "slaves/vdb").mkdir()
    assert deaf() is None, "made of other disks"
    (disk / "slaves/vdb").rmdir()
    (disk / "vda1/partition").unlink()
    assert deaf() is None, "not described by the system"


def test_the_doctor_tells_where_ionice_does_nothing(
    world: World, inside: Inside, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "deaf_scheduler", lambda folder: deaf_scheduler(folder, world.folder / "sys"))
    told = f"ionice does nothing there, as the I/O scheduler of {disk.name} is none: choose another one by "
    world.write_config()
    assert told not in inside("doctor").out
    world.config["ionice"] = "idle"
    world.write_config()
    assert told in inside("doctor").out


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"provider": "sqlite", "db_path": "app.db"}, "a SQLite file is copied as fast as it can be"),
        (
            {"provider": "postgres", "db_name": "app", "format": "directory"},
            "bandwidth goes with format: plain or custom",
        ),
    ],
    ids=["sqlite", "directory"],
)
def test_what_cannot_be_paced_refuses_a_bandwidth(
    world: World, inside: Inside, source: dict[str, str], why: str
) -> None:
    world.config["data_sources"] = [{"label": "App", **source}]
    world.write_config()
    assert inside("config", "check").code == 0
    world.config["data_sources"][0]["bandwidth"] = "1MiB"
    world.write_config()
    ended = inside("config", "check")
    assert ended.code == 2
    assert why in ended.err
