"""ntfy's own server on 127.0.0.1, to which nobody may publish without a login, and what it has taken."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pages import ROOT
from tests.servers import ODD_PASSWORD, SEARCH_PATH, unavailable
from tests.servers._process import ENVIRONMENT, Account

UNPACKED = ROOT / "build/ntfy/usr/bin"


@dataclass(frozen=True)
class NtfyServer:
    """A running server with an account and a token of it, for any topic."""

    url: str
    token: str
    username: str = "shop"
    password: str = ODD_PASSWORD

    def taken(self, topic: str) -> list[dict[str, Any]]:
        """What was published to a topic, the oldest first."""
        asked = httpx.get(f"{self.url}/{topic}/json?poll=1&since=all", auth=(self.username, self.password))
        assert asked.status_code == 200, asked.text
        return [json.loads(line) for line in asked.text.splitlines()]


@pytest.fixture(scope="session")
def ntfy() -> Iterator[NtfyServer]:
    """The server, one for each test process."""
    path = os.pathsep.join([SEARCH_PATH, str(UNPACKED)])
    program = shutil.which("ntfy", path=path) or unavailable("ntfy", "ntfy is not installed: run scripts/test-servers")
    account = Account(None)
    with account.folder() as folder:
        config = folder / "server.yml"
        settings = {
            "base-url": "http://127.0.0.1",
            "cache-file": str(folder / "cache.db"),
            "auth-file": str(folder / "auth.db"),
            "auth-default-access": "deny-all",
            "visitor-request-limit-exempt-hosts": "127.0.0.1",
        }
        config.write_text(json.dumps(settings))
        argv = [program, "serve", "--config", str(config), "--listen-http"]
        log = folder / "log"
        with account.server(lambda port: [*argv, f"127.0.0.1:{port}"], _answers, signal.SIGTERM, log) as port:
            _admin(program, config, "user", "add", "--role=admin", "shop")
            [token] = re.findall(r"tk_\w+", _admin(program, config, "token", "add", "shop"))
            yield NtfyServer(f"http://127.0.0.1:{port}", token)


def _admin(program: str, config: Path, *words: str) -> str:
    """What the server's own administration says of a command."""
    env = {**ENVIRONMENT, "NTFY_PASSWORD": ODD_PASSWORD}
    argv = [program, words[0], "--config", str(config), *words[1:]]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def _answers(port: int) -> None:
    assert httpx.get(f"http://127.0.0.1:{port}/v1/health").json() == {"healthy": True}
