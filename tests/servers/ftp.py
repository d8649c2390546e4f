"""pyftpdlib over FTP on 127.0.0.1, and a folder of its own that tests look into."""

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ftplib import FTP
from pathlib import Path

import pytest

from tests.servers._process import Account

PASSWORD = "p w'\"`$HOME %s%40 \\n;=@:/?&"

_PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
authorizer = DummyAuthorizer()
authorizer.add_user("shop", sys.argv[2], sys.argv[1], perm="elradfmwMT")
authorizer.add_user("guest", "guest", sys.argv[1], perm="elr")
handler = type("Handler", (FTPHandler,), {"authorizer": authorizer, "auth_failed_timeout": 0})
FTPServer(("127.0.0.1", int(sys.argv[3])), handler).serve_forever()
"""


@dataclass(frozen=True)
class Ftp:
    """A running server, a login for it, and the folder that it serves; `guest` may only read."""

    port: int
    folder: Path
    username: str = "shop"
    password: str = PASSWORD

    def url(self, folder: str) -> str:
        return f"ftp://127.0.0.1:{self.port}/{folder}"


@pytest.fixture(scope="session")
def ftp() -> Iterator[Ftp]:
    """The server, one for each test process."""
    account = Account(None)
    with account.folder() as folder:
        data = folder / "data"
        data.mkdir()
        argv = [sys.executable, "-c", _PROGRAM, str(data), PASSWORD]
        with account.server(lambda port: [*argv, str(port)], _answers, signal.SIGTERM, folder / "log") as port:
            yield Ftp(port, data)


def _answers(port: int) -> None:
    with FTP(timeout=5) as client:  # noqa: S321 - as above
        client.connect("127.0.0.1", port)
