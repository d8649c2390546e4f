"""Sidecars as the real program writes them: whole beside a clear object, sealed beside an encrypted one."""

import json
from pathlib import Path

import pyrage
import pytest

from backupman.sidecar import Content, Sidecar
from tests.e2e.world import World


def read(world: World, number: int = 0) -> Sidecar:
    """The sidecar of a backup on its only drive."""
    path = Path(world.backups()[number]["DriveFiles"][0]["Path"])
    return Sidecar.parse(f"app/{path.name}", Path(f"{path}.json").read_bytes())


@pytest.mark.parametrize("blocked", [False, True], ids=["at once", "on a retried upload"])
def test_beside_an_encrypted_dump_the_content_is_sealed_to_its_keys(world: World, blocked: bool) -> None:
    key = pyrage.x25519.Identity.generate()
    world.config["pipeline"] = {"encryption": {"recipients": [str(key.to_public())]}}
    world.config["notifiers"] = {}
    if blocked:
        world.drive.write_text("a file where a folder should be")
    assert world.run("run", "-q").code == int(blocked)
    if blocked:
        world.drive.unlink()
        assert world.run("retry", "latest", "-q").code == 0
    [backup] = world.backups()
    sidecar = read(world)
    assert (sidecar.encryption, sidecar.compression, sidecar.size, sidecar.manifest) == ("age", "gzip", None, None)
    assert sidecar.sealed is not None
    content = Content.model_validate_json(pyrage.decrypt(sidecar.sealed.encode(), [key]))
    assert (content.size, content.warnings) == (backup["Size"], backup["Warnings"])
    assert content.manifest is not None
    assert [(table.name, table.rows) for table in content.manifest.tables] == [("users", 2)]
    assert "users" not in Path(backup["DriveFiles"][0]["Path"] + ".json").read_text()


def test_a_retry_after_the_keys_have_left_the_config_tells_nothing_in_clear(world: World) -> None:
    key = pyrage.x25519.Identity.generate()
    world.config["pipeline"] = {"encryption": {"recipients": [str(key.to_public())]}}
    world.config["notifiers"] = {}
    world.drive.write_text("a file where a folder should be")
    assert world.run("run", "-q").code == 1
    world.drive.unlink()
    world.config["pipeline"] = {"compression": {"method": "zstd"}}
    assert world.run("retry", "latest", "-q").code == 0
    sidecar = read(world)
    assert (sidecar.encryption, sidecar.compression, sidecar.sealed) == ("age", "gzip", None)
    assert (sidecar.size, sidecar.facts, sidecar.manifest) == (None, {}, None)


def test_beside_a_clear_dump_it_holds_the_content_and_show_tells_it(world: World) -> None:
    world.config["notifiers"] = {}
    assert world.run("run", "-q").code == 0
    sidecar = read(world)
    assert sidecar.manifest is not None
    shown = world.run("show", "latest", "--json").json
    assert shown["Manifest"]["Tables"] == [{"Name": "users", "Rows": 2, "Exact": True, "Change": None, "New": False}]
    assert (
        json.loads(sidecar.manifest.model_dump_json(by_alias=True)).items()
        <= (shown["Manifest"] | {"Tables": [{"Name": "users", "Rows": 2, "Exact": True}]}).items()
    )
