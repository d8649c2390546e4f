"""Copies that S3 itself keeps: no error of the retention, through the real process."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.test_drive_faults import s3_drive
from tests.e2e.test_retention import age
from tests.e2e.world import World
from tests.servers.s3 import S3

pytestmark = pytest.mark.service("s3")


@pytest.mark.parametrize("how", ["locked", "never"])
def test_what_s3_keeps_stays_without_an_error_until_it_may_go(world: World, s3: S3, how: str) -> None:
    bucket = s3.make_bucket(ObjectLockEnabledForBucket=how == "locked")
    world.config["drives"] = [s3_drive(s3.endpoint, bucket) | ({"delete": "never"} if how == "never" else {})]
    world.config["retention"] = {"by": "age", "value": 7}
    assert world.run("run").code == 0
    (backup,) = world.backups()
    key = backup["DriveFiles"][0]["Path"]
    with closing(s3.client()) as client:

        def lock(days: int) -> None:
            retention: Any = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=days)}
            for name in (key, f"{key}.json"):
                client.put_object_retention(
                    Bucket=bucket, Key=name, Retention=retention, BypassGovernanceRetention=True
                )

        if how == "locked":
            lock(30)
        age(world, 10)
        assert world.run("run").code == 0
        assert len(world.backups()) == 2
        assert client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        shown = world.run("prune")
        assert shown.code == 0
        assert "… retained" in shown.out
        assert ("is locked until" if how == "locked" else "is left to the bucket's") in " ".join(shown.out.split())
        steps = json.loads(world.run("prune", "--json").out)["Results"]
        assert [(step["Action"], step["Error"]) for step in steps] == [("keep", None), ("retained", None)]
        if how == "locked":
            lock(-1)
        else:
            client.delete_object(Bucket=bucket, Key=key)
            client.delete_object(Bucket=bucket, Key=f"{key}.json")
        assert world.run("prune").code == 0
        assert len(world.backups()) == 1
        assert len(client.list_objects_v2(Bucket=bucket)["Contents"]) == 3  # with RESTORE.txt
