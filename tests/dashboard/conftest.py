"""A daemon and its pages in this process, and people who are signed in by one key or another."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from backupman.api import create_api
from backupman.api.server import Server
from backupman.daemon import Daemon
from backupman.dashboard import add_dashboard
from backupman.store import Store
from tests.dashboard.world import KEYS, configuration
from tests.e2e.world import wait_for


class Served:
    """A daemon with the application around it; the config may be changed before `start`."""

    def __init__(self, folder: Path, hook: str = "http://127.0.0.1:9") -> None:
        self.folder = folder
        self.config: dict[str, Any] = configuration(folder, hook, "app")
        self._daemon: Daemon | None = None
        self._server: Server | None = None
        self._clients: list[httpx.Client] = []

    def write(self) -> Path:
        """Write the config as it is now."""
        file = self.folder / "config.yml"
        file.write_text(yaml.safe_dump(self.config, allow_unicode=True))
        return file

    def start(self, *, scheduling: bool = False) -> "Served":
        """Serve; with `scheduling` the daemon's own threads as well."""
        self._daemon = Daemon(self.write())
        if scheduling:
            self._daemon.start()
        proxies = self._daemon.app.config.http.trusted_proxies
        self._server = Server(add_dashboard(create_api(self._daemon)), "127.0.0.1", 0, proxies)
        self._server.start()
        return self

    @property
    def daemon(self) -> Daemon:
        assert self._daemon
        return self._daemon

    @property
    def url(self) -> str:
        """Where it is served."""
        assert self._server
        return f"http://{self._server.address}"

    @property
    def store(self) -> Store:
        return self.daemon.app.store

    def visitor(self, key: str | None = "root", below: str = "", **options: Any) -> httpx.Client:
        """Somebody who is signed in by the key of that name, or nobody; `below` is the path of a proxy."""
        usual: dict[str, Any] = {"timeout": 90, "trust_env": False}
        client = httpx.Client(base_url=self.url, **usual | options)
        self._clients.append(client)
        if key:
            answer = client.post(
                f"{below}/sign-in", data={"token": token(client.get(f"{below}/sign-in").text), "key": KEYS[key]}
            )
            assert answer.status_code == 303, answer.text
        return client

    def idle(self) -> None:
        """Wait until nothing is worked on: a backup is settled before its source is free again."""
        wait_for(lambda: not self.daemon.app.executor.busy)

    def stop(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        if self._daemon:
            self._daemon.stop(timedelta(0))
        if self._server:
            self._server.stop()
        self._daemon = self._server = None


def token(page: str) -> str:
    """The token of a page's forms."""
    found = re.search(r'name="token" value="([0-9a-f]+)"', page)
    assert found, page
    return found[1]


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Served]:
    """A daemon that was not started yet."""
    served = Served(tmp_path)
    yield served
    served.stop()


@pytest.fixture
def served(configured: Served) -> Served:
    """A daemon with one source."""
    return configured.start()


@pytest.fixture
def root(served: Served) -> httpx.Client:
    """Somebody who may do everything."""
    return served.visitor()
