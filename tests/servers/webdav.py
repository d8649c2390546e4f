"""WsgiDAV over HTTP on 127.0.0.1, with basic and digest logins, and folders that tests look into."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.servers import ODD_PASSWORD, SEARCH_PATH, unavailable
from tests.servers._process import Account


@dataclass(frozen=True)
class Webdav:
    """A running server, a login for it, and the folder that it serves."""

    port: int
    folder: Path
    username: str = "shop"
    password: str = ODD_PASSWORD

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_folder(self, name: str) -> Path:
        """A folder of the server's."""
        folder = self.folder / name
        folder.mkdir()
        return folder


@pytest.fixture(scope="session")
def webdav() -> Iterator[Webdav]:
    """The server, one for each test process."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), SEARCH_PATH])
    wsgidav = shutil.which("wsgidav", path=beside) or unavailable("webdav", "wsgidav (PyPI) is not installed")
    account = Account(None)
    with account.folder() as folder:
        data = folder / "data"
        data.mkdir()
        config = {
            "host": "127.0.0.1",
            "provider_mapping": {"/": str(data)},
            "http_authenticator": {"accept_basic": True, "accept_digest": True, "default_to_digest": True},
            "simple_dc": {"user_mapping": {"*": {"shop": {"password": ODD_PASSWORD}}}},
            "lock_storage": True,
            "property_manager": False,
            "logging": {"enable": False},
        }
        (folder / "config.json").write_text(json.dumps(config))
        argv = [wsgidav, "--config", str(folder / "config.json"), "--port"]
        with account.server(lambda port: [*argv, str(port)], _answers, signal.SIGTERM, folder / "log") as port:
            yield Webdav(port, data)


def _answers(port: int) -> None:
    assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 401
