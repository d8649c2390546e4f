"""`list` and `show`: for people in 80 columns, for programs as the API's documents."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backupman.cli import details
from backupman.cli.call import Call
from backupman.cli.options import duration, moment, tags
from backupman.cli.prune import _until
from backupman.errors import ConfigError
from backupman.events import EventKind
from backupman.records import Backup, Delivery, DeliveryAttempt, DriveFile, Event, Status
from backupman.store import Announcement, Store
from tests.cli.conftest import Inside

LONG = "A source with a rather long label for a narrow table"
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def record(**fields: object) -> Backup:
    """A record that needs no run."""
    return Backup.model_validate(
        {"job": "default", "source": "App", "database": "app", "source_provider": "sqlite", "instance": "here"}
        | {"object_name": "x", "facts": {}, "warnings": [], "tags": {}, "label": "App"}
        | fields
    )


def on_disk(backup: Backup, **fields: Any) -> Backup:
    """The same on one drive."""
    backup.drive_files = [DriveFile(backup_id=backup.id, provider="local", label="Disk", **fields)]
    return backup


@pytest.fixture
def some(config: dict[str, Any], tmp_path: Path, inside: Inside) -> Iterator[list[Backup]]:
    """Records: the newest is finished, the one before has failed, the oldest is finished; with the config of them."""
    store = Store.open(f"sqlite:///{tmp_path}/state/backupman.db")
    good = {"status": Status.FINISHED, "dump_status": Status.FINISHED, "size": 5_000_000, "stored_size": 2_000_000}
    good |= {"sha256": "ab" * 32, "seconds": 3.5, "dump_seconds": 2.0}
    bad = {"status": Status.FAILED, "dump_status": Status.FAILED, "error": f"{LONG}: gone.db does not exist"}
    path = "/srv/backups/" + "a-long-folder/" * 8 + "x"
    made = [
        record(created_at=NOW, comment="before the upgrade", tags={"release": "7"}, operator="ada", **good),
        record(created_at=NOW + timedelta(days=1), label=LONG, source=LONG, **bad),
        record(created_at=NOW + timedelta(days=2), **good),
    ]
    for backup in made:
        stored = {"path": path, "size": 2_000_000, "sha256": "ab" * 32, "seconds": 1.0}
        on_disk(backup, status=backup.status, attempts=1, **stored)
        store.backups.begin(backup, [Announcement(EventKind.BACKUP_REPORT, ["webhook/Hook"])])
    store.close()
    yield made[::-1]


def test_the_list(some: list[Backup], inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = inside("list").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["ID", "STATUS", "LABEL", "BEGAN", "STORED", "DRIVES"]
    ids = [line.split()[0] for line in lines[1:] if re.match(r"[0-9a-f]{8} ", line)]
    assert ids == [backup.id[:8] for backup in some]
    for words in ("✓ finished", "1.9 MiB", "1 of 1"):
        assert words in lines[1]
    assert "✗ failed" in lines[2]
    assert " ".join(line[20:40].strip() for line in lines[2:-1]).strip() == LONG, "folded, not cut"


def test_in_a_pipe_nothing_is_folded(some: list[Backup], inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    out = inside("list").out
    assert LONG in out
    assert len(out.splitlines()) == 4


def test_times_are_local_with_their_zone(some: list[Backup], inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert "2026-03-12 21:00 JST" in inside("list").out
        assert "2026-03-10 21:00:00 JST  began" in inside("show", some[-1].id).out
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_zone_that_no_clock_has_hides_nothing(
    some: list[Backup], inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC+25")
    time.tzset()
    try:
        assert "2026-03-12 12:00 UTC" in inside("list").out
        assert "2026-03-10 12:00:00 UTC  began" in inside("show", some[-1].id, "-v").out
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], [0, 1, 2]),
        (["--status", "failed"], [1]),
        (["--status", "pending"], []),
        (["--label", "App"], [0, 2]),
        (["--label", LONG, "--status", "finished"], []),
        (["--since", "2026-03-11"], [0, 1]),
        (["--since", "2100-01-01"], []),
        (["-n", "2"], [0, 1]),
    ],
    ids=str,
)
def test_what_is_listed(words: list[str], found: list[int], some: list[Backup], inside: Inside) -> None:
    results = json.loads(inside("list", "--json", *words).out)["Results"]
    assert [result["Id"] for result in results] == [some[index].id for index in found]


def test_the_label_of_a_source_finds_all_its_databases(some: list[Backup], tmp_path: Path, inside: Inside) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/state/backupman.db")
    for name in ("one", "two"):
        store.backups.begin(record(label=f"App/{name}", database=name), [])
    store.close()
    assert len(json.loads(inside("list", "--json", "--label", "App").out)["Results"]) == 4
    assert len(json.loads(inside("list", "--json", "--label", "App/two").out)["Results"]) == 1


def test_so_does_that_of_a_source_which_has_left_the_config(some: list[Backup], tmp_path: Path, inside: Inside) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/state/backupman.db")
    for name in ("one", "two"):
        store.backups.begin(record(source="Gone", label=f"Gone/{name}", database=name), [])
    store.close()
    assert len(json.loads(inside("list", "--json", "--label", "Gone").out)["Results"]) == 2
    assert len(json.loads(inside("list", "--json", "--label", "Gone/two").out)["Results"]) == 1


def test_there_is_more_and_there_is_nothing(some: list[Backup], inside: Inside, tmp_path: Path) -> None:
    assert "more with --limit" in inside("list", "-n", "1").out
    assert "more with --limit" not in inside("list", "-n", "3").out
    assert inside("list", "--status", "pending").out == "No backup fits.\n"
    (tmp_path / "state/backupman.db").unlink()
    assert inside("list").out == (
        "There is no backup on record. Make one: backupman run\nIf drives have some already: backupman reconcile\n"
    )


def test_show_tells_everything(some: list[Backup], inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = inside("show", some[-1].id[:7]).out
    path = some[-1].drive_files[0].path or ""
    assert max(len(line) for line in shown.splitlines() if path not in line) <= 80
    assert path in shown, "a path is never folded: it must be copied in one go"
    for words in (
        some[-1].id,
        "ab" * 32,
        "before the upgrade",
        "release=7",
        "started by ada on here",
        "4.8 MiB (5,000,000 bytes) in 2.0 s",
        "began",
        "✓ Disk (local): stored in 1.0 s",
        "… backup_report to webhook/Hook: owed",
    ):
        assert words in shown
    assert "Try again" not in shown


def test_show_of_a_failed_backup_says_why_and_what_to_do(some: list[Backup], inside: Inside) -> None:
    shown = inside("show", some[1].id, "-c", "config.yml").out
    assert str(some[1].error) in shown.splitlines()[1]
    assert "✗ Disk (local): there was no dump to store" in shown
    assert f"Try again: backupman retry {some[1].id[:8]} -c config.yml" in shown


def test_show_as_json_is_the_documented_object(some: list[Backup], inside: Inside) -> None:
    listed = json.loads(inside("list", "--json").out)["Results"]
    assert [json.loads(inside("show", backup.id, "--json").out) for backup in some] == listed
    assert json.loads(inside("show", "latest", "--json").out) == listed[0]


def test_show_of_upload_failures_and_owed_messages(capsys: pytest.CaptureFixture[str]) -> None:
    one = record(status=Status.FAILED, dump_status=Status.FINISHED, dump_path="/spool/x", size=3 * 2**30)
    one.warnings = ["the table log is not transactional"]
    one.drive_files = [
        DriveFile(
            backup_id=one.id, provider="s3", label="Cloud", status=Status.FAILED, attempts=5,
            error="Cloud: the bucket is gone", required=False,
        )
    ]  # fmt: skip
    event = Event(kind="backup_report", instance="here", job="default", backup_id=one.id, payload={})
    owed = Delivery(event_seq=1, endpoint="webhook/Ops", lane="default", instance="here", attempts=2, event=event)
    owed.history = [DeliveryAttempt(delivery_id=1, seconds=1, delivered=False, error="webhook/Ops: 503 Unavailable")]
    details.tell(Call(), one, [owed])
    shown = capsys.readouterr().out
    for words in (
        "3.0 GiB (3,221,225,472 bytes)",
        "Waits in  /spool/x",
        "✗ Cloud (s3, not required): failed after 5 tries",
        "    the bucket is gone",
        "! the table log is not transactional",
        "… backup_report to webhook/Ops: owed",
        "  503 Unavailable",
        "the next attempt is due",
    ):
        assert words in shown


def test_what_comes_from_outside_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    details.tell(Call(), on_disk(record(label="a\x1b[2Jb", comment="c\x07d", error="e\x1b]0;f")), [])
    assert "\x1b" not in (shown := capsys.readouterr().out)
    assert "\x07" not in shown


def test_nor_can_the_name_of_a_database_in_what_a_command_says(
    config: dict[str, Any], tmp_path: Path, inside: Inside
) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/state/backupman.db")
    good = {"status": Status.FINISHED, "dump_status": Status.FINISHED}
    backup = record(label="App/a\x1b]0;b\x07", source_provider="mysql", **good)
    store.backups.begin(on_disk(backup, status=Status.FINISHED), [])
    store.close()
    for words in (("pin",), ("delete",), ("unpin",), ("restore",), ("--debug", "restore")):
        ended = inside(*words, backup.id)
        assert "App/a\ufffd]0;b" in ended.out + ended.err, words
        assert "\x1b" not in ended.out + ended.err, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2d", NOW - timedelta(days=2)),
        ("90", NOW - timedelta(seconds=90)),
        ("2026-03-01T04:00+01:00", datetime(2026, 3, 1, 3, tzinfo=UTC)),
        ("2026-03-01T04:00Z", datetime(2026, 3, 1, 4, tzinfo=UTC)),
    ],
)
def test_times_as_people_write_them(text: str, found: datetime) -> None:
    assert moment("--since", text, NOW) == found


def test_a_date_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert moment("--since", "2026-03-01", NOW) == datetime(2026, 3, 1, 5, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("zone", ["UTC+25", "garbage"])
def test_a_date_is_one_by_utc_where_the_zone_is_none(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert moment("--since", "2026-03-01", NOW) == datetime(2026, 3, 1, tzinfo=UTC)
        assert moment("--since", "2026-03-01T04:00+01:00", NOW) == datetime(2026, 3, 1, 3, tzinfo=UTC)
        assert _until("2026-03-20", NOW) == datetime(2026, 3, 20, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "soon", "-1d", "2026-13-01", "9999999999999999w"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="--since"):
        moment("--since", text, NOW)
    with pytest.raises(ConfigError, match="--timeout"):
        duration("--timeout", text)


@pytest.mark.parametrize("pair", ["", "a", "=b", " =b"])
def test_what_is_no_tag(pair: str) -> None:
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        tags([pair])
