"""`verify` reads every byte back: what is as it was stored is good, and nothing else ever is."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World
from tests.servers.s3 import S3


@pytest.fixture
def made(world: World) -> World:
    """A world with one backup on its local drive, and a webhook that is told of verifying."""
    world.config["notifiers"]["webhook"]["endpoints"][0]["events"] = ["verify_success", "verify_failure"]
    assert world.run("run", "-q").code == 0
    return world


def copy_of(world: World) -> Path:
    return Path(world.backups()[0]["DriveFiles"][0]["Path"])


def told(world: World) -> list[dict[str, Any]]:
    """What the webhook was told."""
    return [json.loads(request.body) for request in world.receiver.requests]


def test_a_copy_as_it_was_stored_is_good(made: World) -> None:
    ended = made.run("verify", "latest")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("✓ App of ") and " on Disk: " in lines[0]
    assert lines[-1] == "1 copy read back, every byte is right."
    file = made.backups()[0]["DriveFiles"][0]
    assert (file["VerifiedAt"] is not None, file["VerifyError"], file["Status"]) == (True, None, "finished")
    (event,) = told(made)
    assert event["Event"] == "verify_success"
    assert (event["Payload"]["Good"], event["Payload"]["Bad"], event["Payload"]["Level"]) == (1, 0, "checksum")
    assert made.run("verify", "--all", "-q").out == ""


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes, and"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "bytes, and"),
        (lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]), "SHA-256 differs"),
        (lambda path: path.write_bytes(b""), "0 bytes, and"),
        (lambda path: path.unlink(), "is gone"),
    ],
    ids=["cut", "longer", "one bit", "empty", "gone"],
)
def test_a_copy_that_is_not_what_was_stored_is_bad(made: World, damage: Any, why: str) -> None:
    path = copy_of(made)
    damage(path)
    ended = made.run("verify", "latest")
    assert ended.code == 1
    assert why in ended.err
    assert str(path) in ended.err
    assert ended.out.splitlines()[-1] == "1 of 1 copy not right."
    file = made.backups()[0]["DriveFiles"][0]
    assert (file["VerifiedAt"], why in file["VerifyError"], file["Status"]) == (None, True, "finished")
    (event,) = told(made)
    assert event["Event"] == "verify_failure"
    assert why in event["Payload"]["Copies"][0]["Error"]


def test_a_copy_on_a_drive_that_left_the_config_cannot_be_checked(made: World) -> None:
    made.config["drives"][0]["label"] = "Other"
    ended = made.run("verify", "--all")
    assert ended.code == 1
    assert "could not be checked: the drive 'Disk' is not in the config any more" in ended.err
    assert ended.out.splitlines()[-1] == "1 of 1 copy could not be checked."
    (event,) = told(made)
    assert event["Event"] == "verify_failure"
    assert [event["Payload"][name] for name in ("Good", "Bad", "Unchecked")] == [0, 0, 1]


def test_what_could_not_be_looked_at_leaves_open_what_is_known_of_it(made: World) -> None:
    path = copy_of(made)
    path.write_bytes(path.read_bytes() + b"x")
    assert made.run("verify", "latest", "-q").code == 1
    found = made.backups()[0]["DriveFiles"][0]["VerifyError"]
    made.config["drives"][0]["mount"] = "/mnt/not-mounted"
    assert made.run("verify", "latest", "-q").code == 1
    assert made.backups()[0]["DriveFiles"][0]["VerifyError"] == found
    path.write_bytes(path.read_bytes()[:-1])
    del made.config["drives"][0]["mount"]
    assert made.run("verify", "latest", "-q").code == 0
    made.config["drives"][0]["mount"] = "/mnt/not-mounted"
    ended = made.run("verify", "latest", "-q")
    assert ended.code == 1
    assert "could not be checked: Disk: " in ended.err
    assert made.backups()[0]["DriveFiles"][0]["VerifyError"] is None


def test_who_is_told_is_for_the_job_to_say(made: World) -> None:
    made.config["jobs"] = [{"label": "default", "notifiers": []}]
    assert made.run("verify", "latest", "-q").code == 0
    assert told(made) == []


def test_nothing_to_check_is_no_success(world: World) -> None:
    ended = world.run("verify", "--all")
    assert (ended.code, ended.err) == (1, "Error: there is no finished copy to check\n")


def test_s3_is_read_back_too(made: World, s3: S3, bucket: str) -> None:
    made.config["drives"].append(
        {
            "provider": "s3",
            "label": "Cloud",
            "bucket": bucket,
            "region": "us-east-1",
            "access_key": "test",
            "secret_key": "s3-secret",
            "endpoint": s3.endpoint,
            "force_path_style": True,
        }
    )
    assert made.run("run", "-q").code == 0
    assert made.run("verify", "--all", "--drive", "Cloud", "-q").code == 0
    key = next(file["Path"] for file in made.backups()[0]["DriveFiles"] if file["Label"] == "Cloud")
    with closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key=key, Body=b"something else")
    ended = made.run("verify", "--all", "--json")
    assert ended.code == 1
    results = json.loads(ended.out)["Results"]
    assert sorted((result["Drive"], result["Good"]) for result in results) == [
        ("Cloud", False),
        ("Disk", True),
        ("Disk", True),
    ]


def test_a_sample_holds_the_newest_of_each_database(made: World) -> None:
    assert made.run("run", "-q").code == 0
    results = json.loads(made.run("verify", "--sample", "1", "--json").out)["Results"]
    assert [result["BackupId"] for result in results] == [made.backups()[0]["Id"]]
    assert len(json.loads(made.run("verify", "--sample", "9", "--json").out)["Results"]) == 2


def test_what_others_are_does_not_end_what_was_found_of_a_bad_copy(made: World) -> None:
    path, older = copy_of(made), made.backups()[0]["Id"]
    right = path.read_bytes()
    path.write_bytes(right + b"x")
    assert made.run("verify", older, "-q").code == 1
    assert made.run("run", "-q").code == 0
    assert made.run("verify", "--sample", "1", "-q").code == 0
    path.write_bytes(right)
    assert made.run("verify", older, "-q").code == 0
    events = [(event["Event"], event["Payload"]["Bad"], event["Payload"]["StillBad"]) for event in told(made)]
    assert events == [("verify_failure", 1, 0), ("verify_success", 0, 1), ("verify_success", 0, 0)]
    reasons = [event["Payload"]["Reason"] for event in told(made)]
    assert reasons[1].endswith("; 1 copy is still bad since an earlier look: see `backupman list`")
    assert "still bad" not in reasons[0] + reasons[2]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["verify"], "name a backup, or say --all or --sample N"),
        (["verify", "latest", "--all"], "name a backup, or say --all or --sample N"),
        (["verify", "--all", "--drive", "Dick"], "there is no drive 'Dick'; did you mean 'Disk'?"),
        (["verify", "ffffffff"], "there is no backup"),
    ],
)
def test_what_is_asked_wrongly_is_said(world: World, words: list[str], why: str) -> None:
    ended = world.run(*words)
    assert ended.code != 0
    assert why in ended.err
