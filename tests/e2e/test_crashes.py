"""Killed at named points and started again: what must hold of the records, the drives and the receiver's log.

Each point kills the real daemon by SIGKILL, alone or with the child that moves the data. After the restart every backup
is settled, every object on a drive is one that a record calls finished, nothing partial is left, and each report was
seen at least once, with the same id if twice.
"""

import json
import signal
import socket

import pytest

from backupman.naming import RESTORE_TXT
from backupman.store import Store
from tests.e2e.world import World, wait_for
from tests.servers._process import free_port
from tests.servers.s3 import S3

STORE = "backupman.store.backups.Backups"
OUTCOME = "backupman.engine.outcome.Outcome.take"
POINTS = {
    "nothing has begun": f"before:{STORE}.begin",
    "the record is there": f"after:{STORE}.begin",
    "the child starts": "before:backupman.data_plane.DataPlane.run",
    "the dump is under way": f"after:{OUTCOME}:progress",
    "a session is open": f"before:{OUTCOME}:session_opened",
    "a session is recorded": f"after:{OUTCOME}:session_opened",
    "the dump is good": f"before:{OUTCOME}:dumped",
    "the dump is recorded": f"after:{OUTCOME}:dumped",
    "an upload has ended": f"before:{OUTCOME}:uploaded",
    "an upload is recorded": f"after:{OUTCOME}:uploaded",
    "nothing is settled": f"before:{STORE}.settle",
    "the report is owed": f"after:{STORE}.settle",
    "the spool is still there": "before:backupman.engine.spools.Spools.tidy",
    "the message goes out": "before:backupman.notifiers.webhook.WebhookEndpoint.send",
    "the message has arrived": "after:backupman.notifiers.webhook.WebhookEndpoint.send",
}


class Service:
    """`backupman serve` in the world, killed at a point or not."""

    def __init__(self, world: World, crash: tuple[str, str] | None = None) -> None:
        main = "tests.e2e.crashing.main" if crash else "backupman.cli.main"
        words = [*(crash or ()), "serve", "-c", str(world.config_file)]
        self.process = world.fork(*words, main=main, CRASHED=str(world.folder / "crashed"))

    def wait(self, seconds: float = 120) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End it in good order."""
        self.process.terminate()
        assert self.wait() == 0


@pytest.fixture
def service_world(world: World, s3: S3, bucket: str) -> World:
    """A daemon with a schedule of every second, a source large enough for parts, a local drive and S3."""
    world.config["data_sources"] = [
        {"provider": "command", "label": "Big", "argv": ["head", "-c", "11000000", "/dev/urandom"]}
    ]
    world.config["drives"].append(
        {
            "provider": "s3",
            "label": "Cloud",
            "bucket": bucket,
            "region": "us-east-1",
            "access_key": "test",
            "secret_key": "s3-secret",
            "endpoint": s3.endpoint,
            "force_path_style": True,
            "part_size": "5MiB",
        }
    )
    world.config["pipeline"] = {"compression": {"method": "none"}}
    world.config["jobs"] = [{"label": "often", "cron": "* * * * * *", "misfire_grace": "1h"}]
    world.config["http"] = {"host": "127.0.0.1", "port": free_port()}
    return world


COMMITTED = ["the dump is recorded", "an upload has ended", "an upload is recorded", "nothing is settled"]
WITH_THE_CHILD = ["the dump is under way", "a session is open", "a session is recorded", "the dump is recorded"]
CRASHES = [(point, "alone") for point in POINTS] + [(point, "group") for point in WITH_THE_CHILD]


@pytest.mark.parametrize(("point", "how"), CRASHES, ids=lambda name: name.replace(" ", "-"))
def test_nothing_is_lost(point: str, how: str, service_world: World, s3: S3, bucket: str) -> None:
    world = service_world
    assert Service(world, (how, POINTS[point])).wait() == -signal.SIGKILL
    world.config["jobs"][0]["cron"] = "0 0 1 1 *"  # what was under way is looked at, not what comes
    after = Service(world)
    store = Store(f"sqlite:///{world.folder / 'state/backupman.db'}")
    try:
        wait_for(lambda: listening(world) and not store.backups.pending("test-host") and not store.outbox.owed(), 180)
    finally:
        after.stop()
        store.close()
    check(world, s3, bucket)
    if point in COMMITTED:  # the dump was good: its uploads go on
        assert {backup["Status"] for backup in world.backups()} == {"finished"}


def listening(world: World) -> bool:
    """Whether the daemon has come up: before that a signal ends it like any program."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", world.config["http"]["port"])) == 0


def check(world: World, s3: S3, bucket: str) -> None:
    """Compare the records, the drives and the receiver's log."""
    backups = world.backups()
    finished = {
        (file["Label"], file["Path"])
        for backup in backups
        for file in backup["DriveFiles"]
        if file["Status"] == "finished"
    }
    local = {("Disk", str(world.drive / name)) for name in world.objects()}
    client = s3.client()
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    cloud = {("Cloud", key) for key in keys if not key.endswith((".json", RESTORE_TXT))}
    assert local | cloud == finished
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    assert [name for name in world.litter(world.folder) if name.endswith(".part")] == []
    assert world.spool == []
    wait_for(lambda: not world.children())
    seen: dict[str, set[str]] = {}
    for request in world.receiver.requests:
        payload = json.loads(request.body)["Payload"]
        seen.setdefault(payload["Id"], set()).add(request.headers["webhook-id"])
    assert seen.keys() == {backup["Id"] for backup in backups}
    assert all(len(ids) == 1 for ids in seen.values())
