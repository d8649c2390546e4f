"""A bucket alone makes the catalogue anew, through the real S3 client; and what may not be listed is still checked."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
import yaml

from tests.cli.conftest import Inside, inside
from tests.drives._proxy import Answer, proxy
from tests.e2e.world import World
from tests.servers.s3 import S3

__all__ = ["inside"]


@pytest.fixture
def there(world: World, s3: S3, bucket: str, inside: Inside) -> World:
    """A world whose drive is a bucket, under a prefix, with one backup."""
    where = {"endpoint": s3.endpoint, "region": s3.region, "bucket": bucket, "prefix": "ours", "force_path_style": True}
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    world.config["drives"] = [{"provider": "s3", "label": "Bucket", **where, **keys}]
    world.config["notifiers"] = {}
    world.config_file.write_text(yaml.safe_dump(world.config))
    assert inside("run", "-q").code == 0
    return world


def test_a_bucket_alone_makes_the_catalogue_anew(there: World, s3: S3, bucket: str, inside: Inside) -> None:
    before = json.loads(inside("list", "--json").out)["Results"]
    with closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key="theirs/photo.jpg", Body=b"jpg")
    shutil.rmtree(there.folder / "state")
    [result] = json.loads(inside("reconcile", "--fix", "--json").out)["Results"]
    assert (result["Orphaned"], result["Mended"], result["Foreign"], result["Failed"]) == (1, 1, 0, 0)
    after = json.loads(inside("list", "--json").out)["Results"]
    same = ("Id", "Status", "Sha256", "StoredSize", "CreatedAt", "Size")
    assert [[each[key] for key in same] for each in after] == [[each[key] for key in same] for each in before]
    assert after[0]["DriveFiles"][0]["Path"] == before[0]["DriveFiles"][0]["Path"]
    assert inside("verify", "latest", "-q").code == 0
    assert inside("reconcile", "-q").code == 0


def test_what_a_failed_upload_has_left_whole_stays_where_it_cannot_be_read_now(
    there: World, s3: S3, bucket: str, inside: Inside
) -> None:
    with closing(sqlite3.connect(there.folder / "state/backupman.db")) as store, store:
        store.execute("update backupman_backups set status = 'failed'")
        store.execute("update backupman_drive_files set status = 'failed', ref = null")
    with closing(s3.client()) as client, proxy(s3.endpoint) as between:
        stored = client.list_objects_v2(Bucket=bucket)["Contents"]
        between.rule = lambda request, forward: (
            Answer(503) if request.kind == "GetObject" and request.key.endswith(".gz") else forward()
        )
        there.config["drives"][0]["endpoint"] = between.endpoint
        there.config["retry"] = {"attempts": 1}
        there.config_file.write_text(yaml.safe_dump(there.config))
        [result] = json.loads(inside("reconcile", "--fix", "--json").out)["Results"]
        assert [(found["Finding"], found["Mended"]) for found in result["Objects"]] == [("leftover", None)]
        assert client.list_objects_v2(Bucket=bucket)["Contents"] == stored, "it may be the only copy"
        between.rule = lambda request, forward: forward()
        [result] = json.loads(inside("reconcile", "--fix", "--json").out)["Results"]
        assert [found["Mended"] for found in result["Objects"]] == ["it was read, and is what was stored"]
        assert inside("verify", "latest", "-q").code == 0
