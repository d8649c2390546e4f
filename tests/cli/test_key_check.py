"""`key check` shows on any host that the key opens what was encrypted for it, and the doctor asks for that."""

import json
from pathlib import Path

import pyrage
import pytest

from backupman.app import App
from backupman.engine.counsel import of_proofs
from backupman.records import now
from tests.cli.conftest import Inside
from tests.e2e.world import World


@pytest.fixture
def made(world: World, inside: Inside) -> World:
    """A world with one encrypted backup; its key is in key.txt, and another one in other.txt."""
    key, other = (pyrage.x25519.Identity.generate() for _ in range(2))
    (world.folder / "key.txt").write_text(f"{key}\n")
    (world.folder / "other.txt").write_text(f"{other}\n")
    world.config["pipeline"] = {"encryption": {"recipients": [str(key.to_public())]}}
    write(world)
    assert inside("run", "-q", "-c", str(world.config_file)).code == 0
    return world


def write(world: World) -> None:
    world.config_file.write_text(json.dumps(world.config))


def advised(world: World) -> bool:
    """Whether the doctor asks for it."""
    app = App.from_config(world.config_file)
    found = [finding for finding in of_proofs(app.store, app.plans, now()) if "key check" in finding.sentence]
    app.close()
    return bool(found)


def copy_of(world: World) -> Path:
    return world.drive / world.objects()[0]


def test_the_right_key_opens_the_newest_on_another_host_and_that_is_remembered(made: World, inside: Inside) -> None:
    assert advised(made)
    wrong = inside("key", "check", "--identity", "other.txt", "-c", str(made.config_file))
    assert wrong.code == 1
    assert advised(made)
    made.config["instance"] = "another-host"
    write(made)
    right = inside("key", "check", "--identity", "key.txt", "-c", str(made.config_file))
    assert (right.code, right.err) == (0, "")
    assert right.out.startswith("✓ App of ")
    assert right.out.endswith(" on Disk: the key opens it\n")
    assert not advised(made)
    file = made.backups()[0]["DriveFiles"][0]
    assert (file["VerifiedAt"], file["VerifyError"]) == (None, None), "it was not looked at any further"


def test_the_whole_of_it_is_read_when_asked_to(made: World, inside: Inside) -> None:
    copy = copy_of(made)
    copy.write_bytes(copy.read_bytes()[:-1])
    words = ("key", "check", "latest", "--identity", "key.txt", "--json", "-c", str(made.config_file), "--whole")
    ended = inside(*words)
    assert ended.code == 1
    (result,) = json.loads(ended.out)["Results"]
    assert (result["Good"], result["Drive"]) == (False, None)
    copy.unlink()
    (result,) = json.loads(inside(*words).out)["Results"]
    assert "is gone" in result["Error"]


def test_what_is_not_encrypted_needs_no_key(world: World, inside: Inside) -> None:
    pyrage_key = pyrage.x25519.Identity.generate()
    (world.folder / "key.txt").write_text(f"{pyrage_key}\n")
    write(world)
    assert inside("run", "-q", "-c", str(world.config_file)).code == 0
    assert not advised(world)
    none = inside("key", "check", "--identity", "key.txt", "-c", str(world.config_file))
    assert (none.code, none.err) == (1, "Error: no encrypted backup with a copy is on record here\n")
    named = inside("key", "check", "latest", "--identity", "key.txt", "-c", str(world.config_file))
    assert named.code != 0
    assert "is not encrypted: it needs no key" in named.err
