"""`run` and `retry` through the real process: what holds across the drives of a backup."""

from backupman.records import Status
from tests.cli.test_doctor_proofs import blog, record
from tests.e2e.world import World


def test_drives_in_turn_one_of_them_paced_one_of_them_optional(world: World) -> None:
    blocked = world.folder / "blocked"
    blocked.write_text("")
    world.config["max_parallel_uploads"] = 1
    world.config["retry"] = {"attempts": 1}
    world.config["drives"] = [
        {"provider": "local", "label": "Extra", "folder": str(blocked), "required": False},
        {"provider": "local", "label": "Disk", "folder": str(world.folder / "disk"), "bandwidth": "1GiB"},
        {"provider": "fsspec", "label": "Files", "url": f"file://{world.folder}/files", "bandwidth": "1GiB"},
    ]
    ended = world.run("run")
    assert ended.code == 0, ended.err
    (backup,) = world.backups()
    assert backup["Status"] == "finished"
    assert {file["Label"]: file["Status"] for file in backup["DriveFiles"]} == {
        "Extra": "failed",
        "Disk": "finished",
        "Files": "finished",
    }
    told = [line.split("App: ")[1] for line in ended.err.splitlines()]
    stored = [line.split(" after")[0] for line in told if line.startswith("stored on")]
    assert stored == ["stored on Disk", "stored on Files"], "one after the other, in the order of the config"
    assert paced(world) == ["disk", "files"]


def test_a_retry_keeps_to_the_bandwidth_too(world: World) -> None:
    blocked = world.folder / "blocked"
    blocked.write_text("")
    world.config["retry"] = {"attempts": 1}
    slow = {"provider": "local", "label": "Slow Line", "folder": str(blocked), "bandwidth": "1GiB"}
    world.config["drives"] = [{"provider": "local", "label": "Disk", "folder": str(world.folder / "disk")}, slow]
    assert world.run("run").code == 1
    (backup,) = world.backups()
    assert paced(world) == []
    blocked.unlink()
    assert world.run("retry", backup["Id"]).code == 0
    (backup,) = world.backups()
    assert backup["Status"] == "finished"
    assert paced(world) == ["slow-line"]


def test_a_retry_in_vain_onto_a_drive_that_is_not_required_is_a_failure(world: World) -> None:
    spare = world.folder / "spare"
    world.config["drives"].append({"provider": "local", "label": "Spare", "folder": str(spare), "required": False})
    spare.touch()
    assert world.run("run").code == 0
    ended = world.run("retry", "latest", "-q")
    assert (ended.code, ended.out, "not on Spare" in ended.err) == (1, "", True)


def test_retry_all_passes_over_what_left_the_config(world: World) -> None:
    world.config["data_sources"].append({"provider": "sqlite", "label": "Gone", "db_path": "gone.db"})
    assert world.run("run").code == 1
    world.config["data_sources"].pop()
    ended = world.run("retry", "--all")
    assert ended.code == 0, ended.err
    assert "nothing to do" in ended.out
    assert len(world.backups()) == 2


def test_retry_all_passes_over_what_others_have_made_on_the_same_records(world: World) -> None:
    source = world.folder / "app.db"
    moved = source.rename(world.folder / "away.db")
    assert world.run("run").code == 1
    here = world.config["instance"] = "here"
    assert "nothing to do" in world.run("retry", "--all").out
    assert world.run("run").code == 1
    moved.rename(source)
    world.config["instance"] = "there"
    assert world.run("run").code == 0, "which makes up for nothing of others"
    world.config["instance"] = here
    assert world.run("retry", "--all").code == 0
    assert [backup["Instance"] for backup in world.backups() if backup["Status"] == "finished"] == [here, "there"]


def test_retry_all_passes_over_a_database_that_the_last_run_did_not_find(world: World) -> None:
    world.config["jobs"] = [{"label": "nightly"}]
    blog(world)
    record(world, 9, "dropped", Status.FAILED)
    record(world, 9, "orders", Status.FINISHED)
    assert world.run("retry", "--all").code == 1
    record(world, 6, "orders", Status.FINISHED)
    ended = world.run("retry", "--all")
    assert (ended.code, "nothing to do" in ended.out) == (0, True), ended.err


def paced(world: World) -> list[str]:
    """The drives whose pace was kept track of, as their files are named."""
    folder = world.config_file.parent / world.config["state_folder"] / "bandwidth"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
