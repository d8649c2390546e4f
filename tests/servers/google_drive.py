"""Google Drive v3 and Google's OAuth over HTTP on 127.0.0.1, as the real client library talks to them.

The resumable protocol is that of https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable.
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import RLock, Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers._google_files import STEP, Caller, Drives, Refused, Session

OWN_FILES = "https://www.googleapis.com/auth/drive.file"
SERVICE_ACCOUNT = "backups@project.iam.gserviceaccount.com"
CLIENT = {"client_id": "client-1.apps.example", "client_secret": "GOCSPX-client+secret/x"}


@cache
def _private_key() -> str:
    """One for all tests: making it takes a while."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


class Google:
    """The server while it runs: what it holds, which tokens it accepts, and what it was asked."""

    def __init__(self) -> None:
        self.drives = Drives()
        self.callers: dict[str, Caller] = {}
        self.refresh_tokens: dict[str, Caller] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.keeps: int | None = None
        self.rotates = False
        self.guard = RLock()
        self.endpoint = ""

    def user_files(self, folder: Path, account: str = "ada", client: str = CLIENT["client_id"]) -> dict[str, str]:
        """The settings of a drive of that account, which gave its consent; its files stand in the folder."""
        folder.mkdir(exist_ok=True)
        secret, token = folder / f"{client}.json", folder / f"{account}-{client}-token.json"
        about = CLIENT | {"client_id": client, "token_uri": f"{self.endpoint}/token"}
        about |= {"auth_uri": f"{self.endpoint}/o/oauth2/auth"}
        secret.write_text(json.dumps({"installed": about}))
        refresh = f"1//refresh-{secrets.token_hex(8)}"
        self.refresh_tokens[refresh] = Caller(account, client, own_files_only=True)
        token.write_text(json.dumps({"refresh_token": refresh, "token": "ya29.old", "expiry": "2020-01-01T00:00:00Z"}))
        return {"client_secret_file": str(secret), "token_file": str(token)}

    def service_file(self, folder: Path) -> str:
        """The key of the service account."""
        file = folder / "service-account.json"
        about = {"type": "service_account", "client_email": SERVICE_ACCOUNT, "private_key": _private_key()}
        file.write_text(json.dumps(about | {"token_uri": f"{self.endpoint}/token", "private_key_id": "1"}))
        return str(file)

    def forget_access(self) -> None:
        """Every access token expires now."""
        self.callers.clear()

    def revoke(self) -> None:
        """The users take their consent back."""
        self.callers.clear()
        self.refresh_tokens.clear()

    def open_sessions(self) -> list[str]:
        """The names of files whose upload is neither done nor cancelled."""
        return [session.about["name"] for session in self.drives.sessions.values() if not session.ended]

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        """Google's token endpoint: a code, a refresh token or a service account's assertion for an access token."""
        kind, more = form.get("grant_type"), {}
        if kind == "refresh_token":
            caller = self.refresh_tokens.get(form["refresh_token"])
            if caller and self.rotates:
                more["refresh_token"] = form["refresh_token"] + "+"
                self.refresh_tokens[more["refresh_token"]] = self.refresh_tokens.pop(form["refresh_token"])
        elif kind == "authorization_code":
            asked = self.codes.pop(form["code"], {})
            challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            fits = asked.get("code_challenge") == challenge.decode().rstrip("=")
            same = asked.get("redirect_uri") == form.get("redirect_uri")
            caller = Caller("ada", asked["client_id"], own_files_only=True) if fits and same else None
            if caller:
                more = {"refresh_token": f"1//given-{secrets.token_hex(8)}", "scope": asked["scope"]}
                self.refresh_tokens[more["refresh_token"]] = caller
        else:
            claims = json.loads(base64.urlsafe_b64decode(form["assertion"].split(".")[1] + "=="))
            caller = Caller(claims["iss"], "service", own_files_only=OWN_FILES in claims["scope"])
        if caller is None:
            raise Refused(400, "invalid_grant", "Token has been expired or revoked.")
        access = f"ya29.{secrets.token_hex(16)}"
        self.callers[access] = caller
        return {"access_token": access, "expires_in": 3599, "token_type": "Bearer", **more}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = 2**16  # an answer goes out in one piece
    google: Google

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client went away: Google keeps nothing of half a chunk here
            self.close_connection = True
            return
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        try:
            with self.google.guard:
                self.google.asked.append(f"{self.command} {url.path}")
                self._route(url.path, query, body)
        except Refused as refused:
            detail = {"domain": "global", "reason": refused.reason, "message": refused.message}
            error: Any = {"code": refused.status, "message": refused.message, "errors": [detail]}
            if url.path == "/token":
                self._json({"error": refused.reason, "error_description": refused.message}, refused.status)
            else:
                self._json({"error": error}, refused.status)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path == "/token":
            form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
            self._json(self.google.token(form))
        elif path == "/o/oauth2/auth":
            code = secrets.token_hex(8)
            self.google.codes[code] = query
            back = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
            self._answer(302, b"", {"Location": back})
        elif "upload_id" in query:
            self._upload(query["upload_id"], body)
        elif caller := self.google.callers.get(self.headers.get("Authorization", "").removeprefix("Bearer ")):
            everywhere = query.get("supportsAllDrives") == "true"
            collection, _, file_id = path.partition("/drive/v3/files/")
            if file_id == "generateIds":
                self._json({"ids": [self.google.drives.new_id() for _ in range(int(query["count"]))]})
            elif file_id:
                self._file(file_id, caller, everywhere, query.get("alt"), body)
            elif self.command == "POST":
                self._create(collection, json.loads(body), caller, everywhere)
            else:
                self._list(query, caller)
        else:
            raise Refused(401, "authError", "Invalid Credentials")

    def _create(self, path: str, about: dict[str, Any], caller: Caller, everywhere: bool) -> None:
        drives = self.google.drives
        if not path.startswith("/upload"):
            self._json(drives.create(about, caller, everywhere).document())
            return
        drives.check_parent(about, caller, everywhere)
        session = secrets.token_urlsafe(24)
        drives.sessions[session] = Session(caller, about)
        where = f"http://{self.headers['Host']}{path}?uploadType=resumable&upload_id={session}"
        self._answer(200, b"", {"Location": where})

    def _file(self, file_id: str, caller: Caller, everywhere: bool, alt: str | None, body: bytes) -> None:
        if self.command == "DELETE":
            self.google.drives.delete(file_id, caller, everywhere)
            self._answer(204)
            return
        file = self.google.drives.visible(file_id, caller, everywhere)
        if alt == "media":
            self._media(file.content)
            return
        if self.command == "PATCH":
            file.trashed = json.loads(body).get("trashed", file.trashed)
        self._json(file.document())

    def _list(self, query: dict[str, str], caller: Caller) -> None:
        drives = self.google.drives
        wide = query.get("includeItemsFromAllDrives") == query.get("supportsAllDrives") == "true"
        if query.get("corpora") == "drive" and not (wide and query.get("driveId")):
            raise Refused(403, "teamDrivesParentLimit", "includeItemsFromAllDrives, supportsAllDrives and driveId")
        found = drives.listed(query.get("q", ""), caller, query.get("driveId"))
        start, size = int(query.get("pageToken", 0)), min(drives.page_size, int(query.get("pageSize", 100)))
        more = {"nextPageToken": str(start + size)} if start + size < len(found) else {}
        self._json({"files": [file.document() for file in found[start : start + size]], **more})

    def _media(self, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not wanted:
            self._answer(200, content)
            return
        start, end = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
        if start >= len(content):
            raise Refused(416, "requestedRangeNotSatisfiable")
        self._answer(206, content[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(content)}"})

    def _upload(self, upload_id: str, body: bytes) -> None:
        """A request of an upload session: bytes, a question where it stands, or its end."""
        google = self.google
        session = google.drives.sessions.get(upload_id)
        if session is None:
            raise Refused(404, "notFound", "The upload session is not there.")
        if session.ended:
            self._json(self._ended(session))
            return
        if self.command == "DELETE":
            del google.drives.sessions[upload_id]
            self._answer(499)
            return
        place = self.headers.get("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}")
        asked = re.fullmatch(r"bytes (?:(\*)|(\d+)-(-?\d+))/(\*|\d+)", place)
        if not asked:
            raise Refused(400, "badRequest", f"Failed to parse Content-Range header: {place}")
        total = None if asked[4] == "*" else int(asked[4])
        if not asked[1] and body:
            start = int(asked[2])
            if start > len(session.content) or (total is None and len(body) % STEP):
                raise Refused(400, "badRequest", "Invalid range.")
            session.content[start:] = body if google.keeps is None else body[: google.keeps]
        if total == len(session.content):
            self._complete(session)
            self._json(self._ended(session))
            return
        so_far = {"Range": f"bytes=0-{len(session.content) - 1}"} if session.content else {}
        self._answer(308, b"", so_far)

    def _complete(self, session: Session) -> None:
        """Make what was uploaded a file."""
        content = bytes(session.content)
        session.ended = self.google.drives.create(session.about, session.caller, True, content).id

    def _ended(self, session: Session) -> object:
        """The file of an upload that has ended."""
        return self.google.drives.files[session.ended or ""].document()

    def _json(self, document: object, status: int = 200) -> None:
        self._answer(status, json.dumps(document).encode(), {"Content-Type": "application/json; charset=UTF-8"})

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ((headers or {}) | {"Content-Length": str(len(body))}).items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the tests."""


@contextmanager
def serving(google: Google, handler: type[Handler]) -> Iterator[None]:
    """Answer on a port of 127.0.0.1, which `google` is told."""
    server = _Server(("127.0.0.1", 0), type("Handler", (handler,), {"google": google}))
    google.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def google() -> Iterator[Google]:
    """A Google of this test's own."""
    running = Google()
    with serving(running, Handler):
        yield running
