"""What the image runs, run here: its command serves, and its health check sees the daemon and nothing else."""

import signal
import subprocess
import sys

import pytest

from tests.e2e.world import World, end, wait_for
from tests.servers._process import free_port
from tests.test_packaging import words_of


def test_the_health_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive that is down must not restart a running backup, and no proxy is asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    port = str(free_port())
    world.config["http"] = {"api_keys": ["s3cret-key"]}
    (world.folder / "drive").write_text("no folder")

    def healthy() -> bool:
        program, *words = [word.replace("8080", port) for word in words_of("HEALTHCHECK CMD")]
        assert program == "python"
        done = subprocess.run([sys.executable, *words], capture_output=True, timeout=120, check=False)
        return done.returncode == 0

    assert not healthy()
    process = world.start(*(word.replace("8080", port) for word in words_of("CMD")))
    wait_for(healthy)
    assert world.run("health").code == 1
    assert healthy()
    assert end(process, signal.SIGTERM).code == 0
    assert not healthy()
