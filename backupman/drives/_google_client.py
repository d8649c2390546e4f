"""The way to Google's services: the client library's methods, and connections whose end closes what they opened."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backupman.drives._google_errors import Door
from backupman.errors import DriveError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

MISSING = "Google's services need packages that are not installed: pip install 'backupman[google]'"
FILE_FIELDS = "id,name,size,md5Checksum,sha256Checksum,trashed"


@dataclass(frozen=True)
class Api:
    """One of Google's services: its name, version and address, and the collection of what it stores."""

    name: str
    version: str
    address: str
    collection: str


DRIVE = Api("drive", "v3", "https://www.googleapis.com", "files")


class Client:
    """Makes connections to one account's Drive, to one shared drive, or to another service of Google's."""

    def __init__(
        self,
        door: Door,
        credentials: "Callable[[], Credentials]",
        endpoint: str | None,
        shared_drive_id: str | None = None,
        api: Api = DRIVE,
    ) -> None:
        self.door = door
        self.shared_drive_id = shared_drive_id
        self._api = api
        self._endpoint = (endpoint or api.address).rstrip("/")
        self._load = credentials

    @contextmanager
    def connected(self) -> Iterator["Connection"]:
        """A connection for one thread. Raises DriveError where there are no credentials."""
        try:
            import google_auth_httplib2  # type: ignore[import-untyped]  # it has no types
            from googleapiclient.http import build_http
        except ImportError as error:
            raise DriveError(f"{self.door.label}: {MISSING}", permanent=True) from error
        _quieten()
        # httplib2 shares no connection among threads, and closes none by itself.
        with closing(google_auth_httplib2.AuthorizedHttp(self._credentials, http=build_http())) as http:
            yield Connection(self, http, self._files)

    def upload_address(self, address: str) -> str:
        """Where the library would send an upload: it puts the host of another endpoint in, and not its scheme."""
        return urlsplit(address)._replace(scheme=urlsplit(self._endpoint).scheme).geturl()

    @cached_property
    def _credentials(self) -> "Credentials":
        return self._load()

    @cached_property
    def _files(self) -> Any:
        """The library's methods; the description of the API comes with it, nothing is asked for it."""
        from googleapiclient.discovery import build
        from googleapiclient.http import build_http

        with closing(build_http()) as unused:
            service = build(
                self._api.name,
                self._api.version,
                http=unused,
                cache_discovery=False,
                static_discovery=True,
                client_options={"api_endpoint": f"{self._endpoint}/{self._api.name}/{self._api.version}/"},
            )
            return getattr(service, self._api.collection)()


class Connection:
    """Calls on one HTTP connection, in one thread."""

    def __init__(self, client: Client, http: Any, files: Any) -> None:
        self.door = client.door
        self.files = files
        self.shared_drive_id = client.shared_drive_id
        self._client = client
        self._http = http

    def call(self, request: Any, of: str = "the file") -> Any:
        """The answer to a request of the library. Raises DriveError."""
        return self.door.call(lambda: self.execute(request), of)

    def execute(self, request: Any) -> Any:
        """The same, once, and with the library's own errors."""
        return request.execute(http=self._http)

    def begin(self, request: Any) -> tuple[int, Mapping[str, str], bytes]:
        """Send the first request of a resumable upload: status, headers, body."""
        return self.send("POST", self._client.upload_address(request.uri), request.headers, request.body)

    def send(
        self, method: str, address: str, headers: Mapping[str, str], body: bytes | str | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request of the upload protocol, which the library's own methods do not make: status, headers, body."""
        answer, content = self._http.request(address, method=method, body=body, headers=dict(headers))
        return int(answer.status), answer, content


def _quieten() -> None:
    """At DEBUG the libraries log whole addresses: that of an upload session is a secret. What fails, they raise."""
    for name in ("google.auth", "google_auth_httplib2", "googleapiclient"):
        logging.getLogger(name).setLevel(logging.ERROR)
