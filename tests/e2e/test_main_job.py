"""The main job through the real process: dumped, stored, recorded, reported, seen, and readable with plain tools."""

import gzip
import json
import sqlite3
import stat
from pathlib import Path

from tests.e2e.world import World


def test_one_backup_from_end_to_end(world: World) -> None:
    ended = world.run("run", "--json", "--comment", "before the upgrade", "--tag", "release=7")
    assert ended.code == 0, ended.err
    (backup,) = ended.json["Results"]
    assert backup["Status"] == "finished"
    assert backup["Label"] == "App"
    assert backup["DumpPath"] is None
    assert (backup["Comment"], backup["Tags"]) == ("before the upgrade", {"release": "7"})
    (file,) = backup["DriveFiles"]
    assert (file["Provider"], file["Label"], file["Status"]) == ("local", "Disk", "finished")
    path = Path(file["Path"])
    assert path.parent == world.drive / "app"
    assert path.name.startswith("backup-")
    assert path.name.endswith(f"-{backup['Id'][:8]}.sqlite.gz")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert world.spool == []
    restored = world.folder / "restored.db"
    restored.write_bytes(gzip.decompress(path.read_bytes()))
    with sqlite3.connect(restored) as database:
        assert database.execute("select name from users order by 1").fetchall() == [("Ada",), ("Grace",)]
    database.close()


def test_the_report_is_exactly_the_documented_one(world: World) -> None:
    world.run("run")
    (request,) = world.receiver.requests
    assert request.headers["X-Webhook-Token"] == "t0ken"
    assert request.headers["Content-Type"] == "application/json"
    document = json.loads(request.body)
    assert list(document) == ["Event", "Payload"]
    assert document["Event"] == "backup_report"
    payload = document["Payload"]
    assert list(payload) == ["Id", "Status", "Label", "DumpPath", "CreatedAt", "UpdatedAt", "DriveFiles"]
    assert list(payload["DriveFiles"][0]) == [
        "Id", "BackupId", "Provider", "Label", "Path", "Status", "CreatedAt", "UpdatedAt",
    ]  # fmt: skip
    assert payload["DriveFiles"][0]["BackupId"] == payload["Id"]
    assert payload["CreatedAt"].endswith("Z")
    (backup,) = world.backups()
    assert {key: backup[key] for key in payload if key != "DriveFiles"} == {
        key: value for key, value in payload.items() if key != "DriveFiles"
    }


def test_the_sidecar_tells_what_the_object_is(world: World) -> None:
    world.run("run")
    (backup,) = world.backups()
    sidecar = json.loads(Path(backup["DriveFiles"][0]["Path"] + ".json").read_text())
    assert (sidecar["Id"], sidecar["Sha256"], sidecar["Instance"]) == (backup["Id"], backup["Sha256"], "test-host")
    assert sidecar["StoredSize"] == backup["StoredSize"]


def test_one_failing_source_stops_no_other(world: World) -> None:
    world.config["data_sources"].insert(0, {"provider": "sqlite", "label": "Gone", "db_path": "gone.db"})
    ended = world.run("run")
    assert ended.code == 1
    assert {backup["Label"]: backup["Status"] for backup in world.backups()} == {"App": "finished", "Gone": "failed"}
    assert not (world.folder / "gone.db").exists()
    assert {report["Label"]: report["Status"] for report in world.reports()} == {"App": "finished", "Gone": "failed"}


def test_one_failing_drive_stops_no_other_and_is_retried_alone(world: World) -> None:
    blocked = world.folder / "blocked"
    blocked.write_text("a file where a folder should be")
    world.config["drives"].append({"provider": "local", "label": "Blocked", "folder": str(blocked)})
    assert world.run("run").code == 1
    (backup,) = world.backups()
    assert backup["Status"] == "failed"
    assert {file["Label"]: file["Status"] for file in backup["DriveFiles"]} == {"Disk": "finished", "Blocked": "failed"}
    assert "Blocked" in backup["Error"]
    assert Path(backup["DumpPath"]).exists()
    blocked.unlink()
    before = Path(backup["DriveFiles"][0]["Path"]).stat()
    assert world.run("retry", backup["Id"][:8]).code == 0
    (retried,) = world.backups()
    assert retried["Id"] == backup["Id"]
    assert retried["Status"] == "finished"
    assert retried["DumpPath"] is None
    assert world.spool == []
    assert Path(retried["DriveFiles"][0]["Path"]).stat().st_mtime_ns == before.st_mtime_ns
    assert [report["Status"] for report in world.reports()] == ["failed", "finished"]


def test_a_newer_dump_replaces_a_kept_one(world: World) -> None:
    blocked = world.folder / "drive"
    blocked.write_text("a file where a folder should be")
    world.run("run")
    world.run("run")
    newer, older = world.backups()
    assert older["DumpPath"] is None
    assert world.spool == [Path(newer["DumpPath"]).name]


def test_an_optional_drive_does_not_fail_the_backup(world: World) -> None:
    (world.folder / "blocked").write_text("")
    world.config["drives"].append(
        {"provider": "local", "label": "Extra", "folder": str(world.folder / "blocked"), "required": False}
    )
    assert world.run("run").code == 0
    (backup,) = world.backups()
    assert backup["Status"] == "finished"
    assert [file["Status"] for file in backup["DriveFiles"]] == ["finished", "failed"]


def test_only_what_is_asked_for_runs(world: World) -> None:
    world.config["data_sources"].append({"provider": "command", "label": "Echo", "argv": ["echo", "hello"]})
    assert world.run("run", "--source", "Echo").code == 0
    assert [backup["Label"] for backup in world.backups()] == ["Echo"]
    wrong = world.run("run", "--source", "Ecco")
    assert wrong.code == 2
    assert "Echo" in wrong.err


def test_a_job_chooses_its_sources_drives_notifiers_and_pipeline(world: World) -> None:
    world.config["drives"].append({"provider": "local", "label": "Second", "folder": str(world.folder / "second")})
    world.config["jobs"] = [
        {
            "label": "nightly",
            "data_sources": ["App"],
            "drives": ["Second"],
            "notifiers": ["Hook"],
            "compression": {"method": "zstd"},
        }
    ]
    assert world.run("run", "--job", "nightly").code == 0
    assert world.objects() == []
    (name,) = [name for name in world.litter(world.folder / "second") if not name.endswith((".json", ".txt"))]
    assert name.endswith(".sqlite.zst")
    assert len(world.reports()) == 1
