"""An upload to S3 goes on after everything was killed: through the daemon, from the spool."""

import signal
from contextlib import closing

import pytest

from tests.drives._proxy import Answer, Forward, Request, proxy, verifying
from tests.e2e.test_crashes import OUTCOME, Service
from tests.e2e.test_drive_faults import s3_drive
from tests.e2e.world import World, wait_for
from tests.servers._process import free_port
from tests.servers.s3 import S3

pytestmark = pytest.mark.service("s3")

PART = 5 * 2**20
SIZE = 3 * PART + 7


def test_an_upload_goes_on_after_everything_was_killed(world: World, s3: S3, bucket: str) -> None:
    """The daemon and its child die when the dump is recorded; the last part was on its way and did not arrive."""
    crashed, sending = world.folder / "crashed", world.folder / "sending"
    # The rest is dumped when a part is on its way, so that the session is recorded by then.
    first = f"head -c {2 * PART} /dev/urandom; until [ -e {sending} ]; do sleep 0.05; done; "
    argv = ["sh", "-c", f"{first} head -c {SIZE - 2 * PART} /dev/urandom"]
    world.config["data_sources"] = [{"provider": "command", "label": "Big", "argv": argv}]
    world.config["pipeline"] = {"compression": {"method": "none"}}
    world.config["jobs"] = [{"label": "often", "cron": "* * * * * *", "misfire_grace": "1h"}]
    world.config["http"] = {"host": "127.0.0.1", "port": free_port()}

    def hold_the_last_part(request: Request, forward: Forward) -> Answer | None:
        if request.part == 4:
            wait_for(crashed.exists, 60)
            return None
        answer = verifying(request, forward)
        if request.part == 2:
            sending.touch()
        return answer

    with proxy(s3.endpoint) as between, closing(s3.client()) as client:
        between.rule = hold_the_last_part
        world.config["drives"] = [s3_drive(between.endpoint, bucket)]
        assert Service(world, ("group", f"after:{OUTCOME}:dumped")).wait(120) == -signal.SIGKILL
        assert len(client.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1
        between.rule = verifying
        between.seen.clear()
        world.config["jobs"][0]["cron"] = "0 0 1 1 *"
        after = Service(world)
        try:
            wait_for(lambda: world.reports(), 60)
        finally:
            after.stop()
        sent = [request.part for request in between.seen if request.part]
        assert sent
        assert not {1, 2} & set(sent), "what the server holds is not sent again"
        assert "CreateMultipartUpload" not in between.kinds()
        (backup,) = world.backups()
        assert backup["Status"] == "finished"
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
        assert client.head_object(Bucket=bucket, Key=backup["DriveFiles"][0]["Path"])["ContentLength"] == SIZE
        assert world.spool == []
