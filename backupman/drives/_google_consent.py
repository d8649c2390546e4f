"""A user's consent to Google Drive: the address where it is given, and the token that comes of it.

https://developers.google.com/identity/protocols/oauth2/native-app: Google sends the browser to a port of this machine.
A browser on another machine finds nothing there, and shows the address that it was sent to: that is pasted instead.
"""

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from backupman.drives._google_client import MISSING
from backupman.drives._google_credentials import SCOPE, client_of, save_token
from backupman.errors import DriveError

WAIT_SECONDS = 900.0
_LABEL = "Google Drive"
_LONGEST = 65536

_GIVEN = "backupman may store files in Google Drive now. You can close this window."
_NOT_GIVEN = "This is not what backupman waits for. Begin again at the address that it has printed."


def consent(
    client_secret_file: Path,
    token_file: Path,
    show: Callable[[str], None],
    terminal: int | None = None,
    wrong: Callable[[], None] = lambda: None,
) -> None:
    """Show where the consent is given, wait for it, and put the token there.

    Args:
        show: is given the address.
        terminal: where the address that the browser was sent to may be pasted, as a file descriptor.
        wrong: is called when something else was pasted.

    Raises:
        DriveError: no consent was given, or the token could not be had or stored.
    """
    client = client_of(_LABEL, client_secret_file)
    if not token_file.absolute().parent.is_dir():
        raise DriveError(f"{_LABEL}: there is no folder {token_file.absolute().parent} for the token", permanent=True)
    with _listening() as listener:
        flow = _flow(dict(client), f"http://127.0.0.1:{listener.server_port}/")
        # `consent`: Google gives a refresh token only to who is asked.
        address, listener.state = flow.authorization_url(access_type="offline", prompt="consent")
        show(address)
        code = _code(listener, terminal, wrong)
    token = _token(flow, code)
    try:
        save_token(token_file, token)
    except OSError as error:
        raise DriveError(f"{_LABEL}: the token {token_file} cannot be written: {error.strerror}") from error


class _Listener(HTTPServer):
    """Takes the browser's request after the consent; `came` holds its query."""

    state: str = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: dict[str, str] = {}

    def take(self, address: str) -> bool:
        """Whether it is the address that Google sends the browser to, with the state that we gave."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(address.strip()).query).items()}
        fits = query.get("state") == self.state and bool(query.keys() & {"code", "error"})
        if fits:
            self.came = query
        return fits


class _Handler(BaseHTTPRequestHandler):
    timeout = 5  # browsers open connections on which they say nothing
    server: _Listener

    def do_GET(self) -> None:
        text = (_GIVEN if self.server.take(self.path) else _NOT_GIVEN).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """The address holds the code."""


@contextmanager
def _listening() -> Iterator[_Listener]:
    try:
        listener = _Listener()
    except OSError as error:
        raise DriveError(f"{_LABEL}: no port of 127.0.0.1 can be had: {error.strerror}") from error
    with listener:
        yield listener


def _code(listener: _Listener, terminal: int | None, wrong: Callable[[], None]) -> str:
    """The code that stands for the consent, from the browser or from the terminal."""
    typed, left = b"", time.monotonic() + WAIT_SECONDS
    while not listener.came:
        inputs = [listener.fileno()] + ([] if terminal is None else [terminal])
        ready, _, _ = select.select(inputs, [], [], max(0.0, left - time.monotonic()))
        if not ready:
            raise DriveError(f"{_LABEL}: nobody gave the consent within {WAIT_SECONDS / 60:.0f} minutes")
        if listener.fileno() in ready:
            listener.handle_request()
        if terminal in ready:
            assert terminal is not None  # noqa: S101 - it is among the inputs
            if not (data := os.read(terminal, _LONGEST)):
                terminal = None
            *lines, typed = (typed + data).split(b"\n")
            for line in filter(bytes.strip, lines):
                if not listener.take(line.decode(errors="replace")):
                    wrong()
    if "code" not in listener.came:
        raise DriveError(f"{_LABEL}: Google says that the consent was not given ({listener.came['error'][:100]})")
    return listener.came["code"]


def _flow(client: dict[str, Any], back: str) -> Any:
    try:
        from google_auth_oauthlib.flow import Flow
    except ImportError as error:
        raise DriveError(f"{_LABEL}: {MISSING}", permanent=True) from error
    return Flow.from_client_config({"installed": client}, scopes=[SCOPE], redirect_uri=back)


def _token(flow: Any, code: str) -> str:
    """The content of a token file."""
    from oauthlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]  # it has no types
    from requests import RequestException

    try:
        flow.fetch_token(code=code)
    except (OAuth2Error, Warning) as error:  # a warning: other rights than those asked for
        why = getattr(error, "description", None) or getattr(error, "error", None) or "the right was not given"
        raise DriveError(f"{_LABEL}: Google gives no token: {why}; begin again") from None
    except RequestException as error:
        raise DriveError(f"{_LABEL}: Google cannot be reached ({type(error).__name__}): look at the network") from None
    if not flow.credentials.refresh_token:
        raise DriveError(f"{_LABEL}: Google gave no refresh token; begin again")
    text: str = flow.credentials.to_json()
    return text
