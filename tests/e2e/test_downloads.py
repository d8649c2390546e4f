"""Downloads from the real daemon: however large an object is, the daemon's memory stays as it was."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_crashes import Service
from tests.e2e.world import World, wait_for
from tests.servers._process import free_port

MIB = 2**20
SIZE = 192 * MIB
KEY = "s3cret-key"


def peak(service: Service) -> int:
    """The most memory that the daemon ever had, in bytes."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    """A daemon with a large source, which is kept as it is."""
    port = free_port()
    world.config["data_sources"] = [
        {"provider": "command", "label": "Big", "argv": ["head", "-c", str(SIZE), "/dev/zero"], "suffix": ".bin"}
    ]
    world.config["pipeline"] = {"compression": {"method": "none"}}
    world.config["http"] = {"host": "127.0.0.1", "port": port, "api_keys": [KEY], "app_url": f"http://127.0.0.1:{port}"}
    service = Service(world)
    yield service
    service.process.kill()
    service.process.communicate()


def test_a_large_object_takes_no_memory(world: World, service: Service) -> None:
    url = world.config["http"]["app_url"]

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/ping", trust_env=False, timeout=90).status_code == 200
        except httpx.TransportError:
            assert service.process.poll() is None
            return False

    wait_for(answers)
    with httpx.Client(base_url=url, headers={"X-Api-Key": KEY}, trust_env=False, timeout=90) as client:
        (backup_id,) = client.post("/api/backups").json()["Ids"]
        wait_for(lambda: client.get(f"/api/backups/{backup_id}").json()["Status"] == "finished")
        link = client.get(f"/api/backups/{backup_id}/generate-download-url").json()["Url"]
    httpx.get(link, headers={"Range": "bytes=0-99"}, trust_env=False, timeout=90).raise_for_status()
    before = peak(service)
    with httpx.stream("GET", link, trust_env=False, timeout=90) as answer:
        assert answer.headers["Content-Length"] == str(SIZE)
        assert sum(len(chunk) for chunk in answer.iter_bytes(MIB)) == SIZE
    assert peak(service) - before < 24 * MIB
    service.stop()
