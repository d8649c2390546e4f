"""Azurite, Microsoft's emulator of Azure Blob Storage, over HTTP or TLS on 127.0.0.1; it keeps all in memory."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from tests.servers import SEARCH_PATH, unavailable
from tests.servers._process import Account

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

ACCOUNT = "devstoreaccount1"
# Known to everybody: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Azure:
    """A running server and a login for it."""

    port: int
    account: str = ACCOUNT
    key: str = KEY
    scheme: str = "http"

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{self.account}"

    def connection_string(self, endpoint: str | None = None) -> str:
        """As the portal shows it, for the server or for what stands in front of it."""
        return f"AccountName={self.account};AccountKey={self.key};BlobEndpoint={endpoint or self.endpoint};"

    def container(self, name: str) -> "ContainerClient":
        """A client of the SDK."""
        from azure.storage.blob import ContainerClient

        return ContainerClient.from_connection_string(self.connection_string(), name)

    def make_container(self) -> str:
        """Make an empty container and give its fresh name."""
        name = f"container-{uuid4().hex[:12]}"
        with self.container(name) as client:
            client.create_container()
        return name


@contextmanager
def azurite(*options: str) -> Iterator[int]:
    """Run the server with more options; its port."""
    beside = Path(sys.executable).parent.parent / "azurite/node_modules/.bin"
    found = shutil.which("azurite-blob", path=os.pathsep.join([str(beside), SEARCH_PATH]))
    program = found or unavailable("azure", "azurite (npm) is not installed")
    node = shutil.which("node", path=SEARCH_PATH) or unavailable("azure", "node is not installed")
    fixed = ["--blobHost", "127.0.0.1", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    argv = [node, program, *fixed, "--inMemoryPersistence", *options, "--blobPort"]
    account = Account(None)
    ready = partial(_answers, "https" if "--cert" in options else "http")
    with (
        account.folder() as folder,
        account.server(lambda port: [*argv, str(port)], ready, signal.SIGTERM, folder / "log") as port,
    ):
        yield port


@pytest.fixture(scope="session")
def azure() -> Iterator[Azure]:
    """The server, one for each test process."""
    with azurite() as port:
        yield Azure(port)


def _answers(scheme: str, port: int) -> None:
    # It takes seconds to start, in which another test's server may have got the port. Its certificate is a test's own.
    answer = httpx.get(f"{scheme}://127.0.0.1:{port}/", verify=False, trust_env=False)  # noqa: S501 - as said
    assert answer.headers["Server"].startswith("Azurite-Blob/")
