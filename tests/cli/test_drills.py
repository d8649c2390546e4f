"""`verify --level` reads copies through and restores them; nothing passes for good that was not looked at."""

import json
from pathlib import Path
from typing import Any

import pyrage
import pytest

from backupman.app import App
from tests.cli.conftest import Inside
from tests.e2e.world import World


@pytest.fixture
def made(world: World, tmp_path: Path) -> World:
    """A world with one encrypted backup of a small SQLite file, and a webhook that is told of verifying."""
    key = pyrage.x25519.Identity.generate()
    (world.folder / "key.txt").write_text(f"{key}\n")
    world.config["pipeline"] = {"encryption": {"recipients": [str(key.to_public())]}}
    world.config["notifiers"]["webhook"]["endpoints"][0]["events"] = ["verify_success", "verify_failure"]
    world.config["verify"] = {"identity_file": str(world.folder / "key.txt")}
    assert world.run("run", "-q").code == 0
    return world


def write(world: World) -> None:
    world.config_file.write_text(json.dumps(world.config))


def verified(world: World, inside: Inside, *words: str, which: str = "latest") -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the results of a `verify` in this process."""
    write(world)
    ended = inside("verify", which, "--json", "-c", str(world.config_file), *words)
    return ended.code, json.loads(ended.out)["Results"] if ended.out else []


def test_every_level_from_the_bytes_to_a_restore(made: World, inside: Inside) -> None:
    for level in ("checksum", "structure", "restore"):
        code, (result,) = verified(made, inside, "--level", level)
        assert (code, result["Level"], result["Good"], result["Error"]) == (0, level, True, None)
    drill = result["Drill"]
    assert (drill["Tables"] > 0, drill["Rows"] > 0, drill["Problems"], drill["Assertions"]) == (True, True, [], [])
    ended = made.run("verify", "latest", "--level", "restore")
    assert ended.code == 0
    assert "restored in " in ended.out
    assert ended.out.splitlines()[-1] == "1 copy restored in drills, all that should be there was there."
    app = App.from_config(made.config_file)
    (backup,) = app.store.backups.list()
    (file,) = backup.drive_files
    assert file.proved_at == file.verified_at is not None
    levels = [checked.level for checked in app.store.proofs.verifications(backup.id)]
    assert levels == ["restore", "restore", "structure", "checksum"]
    app.close()
    made.run("run", "-q")
    report = json.loads(made.receiver.requests[-1].body)["Payload"]
    assert (report["Level"], report["Good"], report["RtoSeconds"] > 0) == ("restore", 1, True)
    assert not [name for name in made.litter(made.folder / "state") if name.startswith("drills")]


def test_the_last_proved_copy_is_never_removed(made: World, inside: Inside) -> None:
    assert verified(made, inside, "--level", "restore")[0] == 0
    proved = made.objects()
    made.config["retention"] = {"keep_last": 1}
    for _ in range(2):
        write(made)
        assert inside("run", "-q", "-c", str(made.config_file)).code == 0
    assert len(made.objects()) == 2
    assert set(proved) < set(made.objects())
    made.config["retention"]["keep_proved"] = 0
    write(made)
    assert inside("prune", "-q", "-c", str(made.config_file)).code == 0
    assert set(proved).isdisjoint(made.objects())


def test_an_assertion_that_does_not_hold_is_told_everywhere(made: World, inside: Inside) -> None:
    made.config["data_sources"][0]["assertions"] = [{"sql": "SELECT 5", "expect": "> 5"}]
    made.config["on_error"] = [["sh", "-c", "echo $0 > said", "{error}"]]
    code, (result,) = verified(made, inside, "--level", "restore")
    assert (code, result["Good"]) == (1, False)
    assert result["Error"] == "SELECT 5: the answer was '5', and '> 5' was expected"
    file = made.backups()[0]["DriveFiles"][0]
    assert (file["VerifyError"], file["Status"]) == (result["Error"], "finished")
    assert result["Error"] in (made.folder / "said").read_text()


def test_what_is_encrypted_is_never_good_without_its_key(made: World, inside: Inside) -> None:
    del made.config["verify"]
    for level in ("structure", "restore"):
        code, (result,) = verified(made, inside, "--level", level)
        assert (code, result["Good"]) == (1, False)
        assert "the backup is encrypted" in result["Error"]
        code, (result,) = verified(made, inside, "--level", level, "--identity", str(made.folder / "key.txt"))
        assert (code, result["Good"]) == (0, True)
    assert verified(made, inside)[0] == 0
    made.config["verify"] = {"identity_file": "/nowhere/key.txt"}
    code, (result,) = verified(made, inside, "--level", "structure")
    assert code == 1
    assert "the identity file /nowhere/key.txt cannot be read" in result["Error"]


def test_a_source_that_left_the_config_cannot_be_drilled(made: World, inside: Inside) -> None:
    made.config["data_sources"][0]["label"] = "Another"
    for level in ("structure", "restore"):
        code, (result,) = verified(made, inside, "--level", level, which="--all")
        assert (code, "is not in the config any more" in result["Error"]) == (1, True)


def test_the_config_refuses_what_no_drill_can_use(made: World, inside: Inside) -> None:
    made.config["data_sources"][0] |= {"scratch_server": "Drils", "assertions": [{"sql": "SELECT 1", "expect": "1"}]}
    made.config["scratch_servers"] = [{"provider": "sqlite", "label": "Drills", "db_path": "/tmp/x.sqlite"}]
    write(made)
    said = inside("config", "check", "-c", str(made.config_file)).err
    assert "there is no 'Drils'; did you mean 'Drills'?" in said
    assert "'1' is no expectation: write an operator" in said
