"""Progress: drawn on a terminal and nowhere else, and never able to disturb a backup."""

import io
import sys
import threading
from pathlib import Path

import pytest

from backupman.cli.progress import Blocks, Lines, Watcher, watcher
from backupman.data_plane.messages import Dumped, Message, Phase, Progress, Retrying, Uploaded, UploadFailed
from backupman.records import Backup, DriveFile, Status
from tests.cli.terminal import Terminal
from tests.e2e.world import World

SLOW = {
    "provider": "command",
    "label": "Slow",
    "argv": ["sh", "-c", "for i in 1 2 3; do head -c 3000000 /dev/urandom; sleep 0.7; done"],
}
MESSAGES: list[Message] = [
    Phase(phase="dumping"),
    Progress(read=2**20, stored=2**19, sent={"Disk": 2**18}),
    Retrying(label="Disk", error="Disk: no answer"),
    Dumped(size=2**21, stored_size=2**20, sha256="0" * 64, seconds=2, warnings=[], facts={}),
    Phase(phase="uploading"),
    Uploaded(label="Disk", ref="r", size=2**20, checksums={}, attempts=2, seconds=3),
    UploadFailed(label="Cloud", error="Cloud: the bucket is gone", attempts=2, seconds=3),
]


def backup(label: str = "Shop") -> Backup:
    """A backup onto two drives."""
    made = Backup(
        label=label, job="default", source=label, database="shop", source_provider="sqlite", instance="here",
        object_name="x",
    )  # fmt: skip
    made.drive_files = [DriveFile(backup_id=made.id, provider="local", label=name) for name in ("Disk", "Cloud")]
    return made


def settled(of: Backup) -> Backup:
    """The same, failed."""
    of.status, of.seconds, of.error = Status.FAILED, 3.0, "Cloud: the bucket is gone"
    return of


@pytest.mark.parametrize("name", ["Slow", "Very long " * 20, "[bold]ü✓\x1b[31m"])
def test_a_terminal_shows_what_is_under_way_and_then_the_summary(name: str, world: World) -> None:
    world.config["data_sources"] = [SLOW | {"label": name.strip()[:190]}]
    world.run("version")  # writes the config
    with Terminal("run", "-c", str(world.config_file), cwd=world.folder) as terminal:
        terminal.read_until("dumping")
        terminal.read_until("MiB of")
        assert "Disk" in terminal.text
        assert terminal.end() == 0
    last = terminal.text.split("1 backup finished.")[0].splitlines()[-5:]
    assert any("on Disk" in line for line in last)
    assert "\x1b[31m" not in terminal.raw.replace("\x1b[31m✗", "")
    assert "\x1b[32m" in terminal.raw, "colours, on a terminal that has them"


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_terminals_without_colour(env: dict[str, str], world: World) -> None:
    world.config["data_sources"] = [SLOW]
    world.run("version")
    with Terminal("run", "-c", str(world.config_file), cwd=world.folder, env=env) as terminal:
        assert terminal.end() == 0
    assert "\x1b[3" not in terminal.raw
    assert ("dumping" in terminal.text) == ("NO_COLOR" in env), "a dumb terminal gets plain lines"
    assert ("dumped" in terminal.text) == ("TERM" in env)


def test_a_pipe_gets_plain_lines(world: World) -> None:
    world.config["data_sources"] = [SLOW]
    ended = world.run("run")
    assert ended.code == 0
    assert "\x1b" not in ended.out + ended.err
    assert "dumping" not in ended.err
    assert [line for line in ended.err.splitlines() if "dumped 8.6 MiB in" in line]


def test_ctrl_c_on_a_terminal_says_that_it_was_understood(world: World) -> None:
    world.config["data_sources"] = [
        SLOW | {"argv": ["sh", "-c", "while sleep 0.2; do head -c 900000 /dev/urandom; done"]}
    ]
    world.run("version")
    with Terminal("run", "-c", str(world.config_file), cwd=world.folder) as terminal:
        terminal.read_until("MiB of")
        terminal.type("\x03")
        terminal.read_until("Interrupted")
        assert terminal.end() == 130
    assert "✗ Slow: failed" in terminal.text
    world.assert_clean()


def test_the_picture_fits_a_small_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "5")
    blocks = Blocks()
    made = [backup(f"A long label of a source, number {number}") for number in range(4)]
    for one in made:
        blocks.began(one)
        for message in MESSAGES:
            blocks.heard(one, message)
    for one in made[:2]:
        blocks.ended(settled(one))
    blocks.interrupted()
    blocks._console.print(blocks._picture())
    drawn = capsys.readouterr().err.splitlines()
    assert max(map(len, drawn)) <= 40
    assert [line for line in drawn if "number" in line or "A long" in line]


def test_what_waits_for_its_turn_takes_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    blocks = Blocks()
    made = [backup(f"server/db{number}") for number in range(40)]
    for one in made:
        blocks.began(one)
    blocks.heard(made[7], MESSAGES[0])
    blocks._console.print(blocks._picture())
    drawn = capsys.readouterr().err.splitlines()
    assert len(drawn) == 4
    assert "server/db7" in drawn[0]
    assert drawn[3].startswith("… 39 waiting: server/db0, server/db1, ")


@pytest.mark.parametrize("kind", [Lines, Blocks])
def test_watching_never_raises(kind: type[Watcher], monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    watching = kind()
    monkeypatch.setattr(sys, "stderr", closed)
    watching.heard(backup(), MESSAGES[0])  # of a backup that never began
    one = backup()
    watching.began(one)
    for message in MESSAGES:
        watching.heard(one, message)
    watching.interrupted()
    watching.ended(settled(one))


@pytest.mark.parametrize("kind", [Lines, Blocks])
def test_watching_from_several_threads(kind: type[Watcher], capsys: pytest.CaptureFixture[str]) -> None:
    with kind() as watching:

        def one() -> None:
            for _ in range(20):
                made = backup(threading.current_thread().name)
                watching.began(made)
                for message in MESSAGES:
                    watching.heard(made, message)
                watching.ended(settled(made))

        threads = [threading.Thread(target=one, name=f"Source-{number}") for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = capsys.readouterr().err.splitlines()
    if kind is Lines:
        assert len(lines) == 8 * 20 * 5
        assert all(line.count("Source-") == 1 for line in lines), "no line runs into another"


def test_the_lines_of_one_backup(capsys: pytest.CaptureFixture[str]) -> None:
    lines, one = Lines(), backup()
    lines.began(one)
    for message in MESSAGES:
        lines.heard(one, message)
    lines.ended(settled(one))
    said = [line.split("  ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        f"Shop: backup {one.id[:8]} starts, onto Disk and Cloud",
        "Shop: dumped 2.0 MiB in 2.0 s, 1.0 MiB to store",
        "Shop: stored on Disk after 3.0 s",
        "Shop: FAILED on Cloud: Cloud: the bucket is gone",
        "Shop: FAILED after 3.0 s: Cloud: the bucket is gone",
    ]


def test_nobody_watches_when_it_is_to_be_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with watcher(quiet=True) as watching:
        watching.began(backup())
    assert capsys.readouterr().err == ""
    assert isinstance(watcher(quiet=False), Lines)


def test_the_terminal_of_these_tests_is_one(tmp_path: Path) -> None:
    """Guards the others: what is started there does see a terminal."""
    with Terminal("--help", cwd=tmp_path) as terminal:
        assert terminal.end() == 0
    assert "\r\n" in terminal.raw
