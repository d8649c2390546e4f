"""Drives that cannot be used: the dump is good and waits in the spool, nothing partial is visible, a retry mends it."""

from pathlib import Path
from typing import Any

from tests.drives._proxy import Answer, Forward, Request, proxy
from tests.e2e.world import Ended, World, wait_for
from tests.servers._process import free_port
from tests.servers.s3 import S3


def s3_drive(endpoint: str, bucket: str) -> dict[str, Any]:
    """A drive on an S3 server, with the smallest parts."""
    return {
        "provider": "s3",
        "label": "Cloud",
        "bucket": bucket,
        "region": "us-east-1",
        "access_key": "test",
        "secret_key": "s3-secret",
        "endpoint": endpoint,
        "force_path_style": True,
        "part_size": "5MiB",
    }


def assert_kept_for_retry(world: World, ended: Ended, *words: str) -> None:
    """The dump is good and no drive has it: it waits in the spool, and everything says so."""
    assert ended.code == 1
    (backup,) = world.backups()
    assert backup["Status"] == "failed"
    for word in ("Cloud", *words):
        assert word.lower() in backup["Error"].lower()
    assert "s3-secret" not in ended.out + ended.err
    (report,) = world.reports()
    assert (report["Status"], report["DumpPath"]) == ("failed", backup["DumpPath"])
    assert world.spool == [Path(backup["DumpPath"]).name]
    wait_for(lambda: not world.children())


def test_a_drive_that_cannot_be_reached(world: World) -> None:
    world.config["drives"] = [s3_drive(f"http://127.0.0.1:{free_port()}", "backups")]
    assert_kept_for_retry(world, world.run("run"), "reach")


def test_a_bucket_that_is_missing(world: World, s3: S3) -> None:
    world.config["drives"] = [s3_drive(s3.endpoint, "no-such-bucket")]
    assert_kept_for_retry(world, world.run("run"), "no-such-bucket")


def cut_part_3(request: Request, forward: Forward) -> Answer | None:
    """Drop the connection half-way through the third part."""
    if request.part != 3:
        return forward()
    request.read(1_000_000)
    return None


def test_s3_fails_in_the_middle_of_part_3(world: World, s3: S3, bucket: str) -> None:
    world.config["data_sources"] = [
        {"provider": "command", "label": "Big", "argv": ["head", "-c", "17000000", "/dev/urandom"]}
    ]
    with proxy(s3.endpoint) as between:
        between.rule = cut_part_3
        world.config["drives"] = [s3_drive(between.endpoint, bucket)]
        assert_kept_for_retry(world, world.run("run"))
        client = s3.client()
        assert "Contents" not in client.list_objects_v2(Bucket=bucket)
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
        between.rule = lambda request, forward: forward()
        assert world.run("retry", "--all").code == 0
    (backup,) = world.backups()
    assert backup["Status"] == "finished"
    head = s3.client().head_object(Bucket=bucket, Key=backup["DriveFiles"][0]["Path"])
    assert head["ContentLength"] == backup["StoredSize"]
