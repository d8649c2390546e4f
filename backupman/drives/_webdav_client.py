"""The requests of WebDAV (RFC 4918) over HTTP, and what their answers mean to the user."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import httpx

from backupman.errors import DriveError
from backupman.naming import is_folder

_CONNECT_SECONDS = 10.0
_LONG = 10
"""So many times the timeout a server may be busy with a whole object: some copy it, or look for viruses, at its end."""
_ODD = re.compile("[%?#;]")
"""Signs that some servers trip over in the destination of a MOVE: on the server they stand percent-encoded."""
_CODE = re.compile(r"^HTTP/\S+ (\d{3})")
_DAV = "{DAV:}"
_ASKED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/></prop>'
    b"</propfind>"
)


def as_folder(path: str) -> str:
    """The path of a folder as requests name it: nginx refuses one without the slash, Apache sends elsewhere."""
    return f"{path}/" if path else ""


class Missing(DriveError):
    """There is nothing of that name, or no folder to put it into."""


class Taken(DriveError):
    """There is something of that name."""


class Denied(DriveError):
    """The account may not do that."""


@dataclass(frozen=True)
class _Meaning:
    sentence: str
    permanent: bool = True
    kind: type[DriveError] = DriveError


_STATUS: Mapping[int, _Meaning] = {
    401: _Meaning("{server} does not let {user} in: correct username, password and auth"),
    403: _Meaning("{user} may not do that in {folder}: give the account the right to write there", kind=Denied),
    404: _Meaning("{folder} is not there: make it, or correct url and folder", permanent=False, kind=Missing),
    405: _Meaning("{folder} takes no WebDAV: correct url ({said})", kind=Taken),
    409: _Meaning("a folder on the way is missing in {folder} ({said})", permanent=False, kind=Missing),
    412: _Meaning("the object is already there, and nothing was overwritten", kind=Taken),
    413: _Meaning(
        "{server} takes no object of that size: raise its limit (nginx: client_max_body_size, Apache: LimitRequestBody)"
    ),
    423: _Meaning("somebody has locked it in {folder} ({said})", permanent=False),
    500: _Meaning(
        "{server} cannot answer now ({said}): its log says why, such as no right to write in {folder}, or a full disk",
        permanent=False,
    ),
    501: _Meaning("{server} speaks no WebDAV: correct url ({said})"),
    507: _Meaning("the disk or the quota of {folder} is full: make room, or let the retention remove more", False),
}
_SENT: Mapping[int, _Meaning] = {
    **_STATUS,
    # What speaks WebDAV takes objects: servers in Go, such as rclone, say this of any failure to store one.
    405: _Meaning(
        "{server} did not store the object ({said}): its log says why, such as a full disk, or no right to PUT", False
    ),
}
_MOVED = _Meaning("{server} sends us elsewhere: set url to the address that it names ({said})")
_BUSY = _Meaning("{server} cannot answer now ({said})", permanent=False)
_REFUSED = _Meaning("{server} refused the call ({said})")


@dataclass(frozen=True)
class Entry:
    """What stands in a folder: its path from the server's base, and its size; None for a folder."""

    path: str
    size: int | None

    @property
    def location(self) -> str:
        """The path as requests name it."""
        return self.path if self.size is not None else as_folder(self.path)


@dataclass(frozen=True, repr=False)
class Server:
    """How to reach a server: paths count from `base`, a URL without a slash at its end; sentences name `place`."""

    label: str
    base: str
    auth: httpx.Auth | None
    verify: Any
    timeout: float
    place: Mapping[str, str]

    def client(self) -> httpx.Client:
        """Connections of one operation; close it."""
        limits = httpx.Timeout(self.timeout, connect=min(_CONNECT_SECONDS, self.timeout))
        return httpx.Client(auth=self.auth, verify=self.verify, timeout=limits, headers={"User-Agent": "backupman"})

    def url(self, path: str) -> str:
        """The address of what stands at a path."""
        stored = _ODD.sub(lambda sign: quote(sign[0]), path)
        return f"{self.base}/{quote(stored, safe='/')}"

    def call(self, client: httpx.Client, method: str, path: str, *, long: bool = False, **more: Any) -> httpx.Response:
        """The answer of a status of 2xx. Raises Missing, Taken, DriveError."""
        if long:
            more["timeout"] = httpx.Timeout(
                self.timeout, connect=min(_CONNECT_SECONDS, self.timeout), read=_LONG * self.timeout
            )
        with self.explained():
            answer = client.request(method, self.url(path), **more)
        self.judge(answer, _SENT if method == "PUT" else _STATUS)
        return answer

    def judge(self, answer: httpx.Response, meanings: Mapping[int, _Meaning] = _STATUS) -> None:
        """Raise what a status means that is not 2xx."""
        if answer.is_success:
            return
        meaning = meanings.get(answer.status_code)
        if answer.has_redirect_location:
            meaning, said = _MOVED, f"{answer.status_code}, {answer.headers['location']}"
        else:
            said = f"{answer.status_code} {answer.reason_phrase}".strip()
        if meaning is None:
            busy = answer.status_code >= 500 or answer.status_code in (408, 425, 429)
            meaning = _BUSY if busy else _REFUSED
        after = answer.headers.get("retry-after", "")
        raise self._error(meaning, said, retry_after=float(after) if after.isdigit() else None)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn a failure of the network into a sentence."""
        try:
            yield
        except httpx.HTTPError as error:
            said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            sentence = "the connection to {server} broke ({said})"
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                sentence = "{server} cannot be reached: look at url and at the network ({said})"
                if "certificate" in said.lower() or "ssl" in said.lower():
                    sentence = "no TLS with {server}: for a private certificate set ca_file ({said})"
            elif isinstance(error, httpx.TimeoutException):
                sentence = "{server} does not answer ({said})"
            raise self._error(_Meaning(sentence, permanent=False), said) from error

    def size_of(self, client: httpx.Client, path: str) -> int | None:
        """The size of an object; None when there is none."""
        with suppress(Missing):
            return next((entry.size for entry in self._entries(client, path, "0")), None)
        return None

    def is_folder(self, client: httpx.Client, path: str) -> bool:
        """Whether there is a folder of that path."""
        with suppress(Missing):
            return any(entry.size is None for entry in self._entries(client, as_folder(path), "0"))
        return False

    def walk(self, client: httpx.Client, folder: str) -> Iterator[Entry]:
        """All objects below a folder. Raises Missing, DriveError.

        A folder inside that vanishes meanwhile is left out, or that may not be read and cannot hold anything of ours.
        """
        entries = self._entries(client, as_folder(folder), "1")
        for entry in sorted(entries, key=lambda entry: entry.path):
            if entry.size is not None:
                if entry.path == folder:
                    raise self._error(_STATUS[404], "it is a file")
                yield entry
            elif entry.path != folder and entry.path.startswith(f"{folder}/" if folder else ""):
                with suppress(Missing) if is_folder(entry.path.rpartition("/")[2]) else suppress(Missing, Denied):
                    yield from self.walk(client, entry.path)

    def children(self, client: httpx.Client, folder: str) -> list[Entry]:
        """What stands in a folder itself; nothing when it is not there."""
        with suppress(Missing):
            return [entry for entry in self._entries(client, as_folder(folder), "1") if entry.path != folder]
        return []

    def make_folders(self, client: httpx.Client, folder: str) -> None:
        """Make a folder and those around it."""
        if self.is_folder(client, folder):
            return
        if folder:
            self.make_folders(client, folder.rpartition("/")[0])
        try:
            self.call(client, "MKCOL", as_folder(folder))
        except DriveError:
            if not self.is_folder(client, folder):  # else another upload was faster
                raise

    def remove(self, client: httpx.Client, path: str) -> None:
        """Remove an object or a folder, which ends in a slash; what is not there is fine."""
        with suppress(Missing):
            self.call(client, "DELETE", path)

    def _entries(self, client: httpx.Client, path: str, depth: str) -> list[Entry]:
        headers = {"Depth": depth, "Content-Type": "application/xml; charset=utf-8"}
        answer = self.call(client, "PROPFIND", path, headers=headers, content=_ASKED)
        try:
            # The server is the one that keeps the dumps; expat itself bounds what entities may grow to.
            found = ElementTree.fromstring(answer.content)  # noqa: S314
        except ElementTree.ParseError as error:
            raise self._error(_REFUSED, f"{answer.status_code}, and no XML") from error
        entries = []
        for response in found.iter(f"{_DAV}response"):
            if entry := self._entry(response):
                if entry.path == path.strip("/"):
                    self._judge_inside(response)
                entries.append(entry)
        return entries

    def _judge_inside(self, response: ElementTree.Element) -> None:
        """Raise what is refused inside an answer of 207, as lighttpd does: else a folder would look like a file."""
        codes = [int(found[1]) for told in response.iter(f"{_DAV}status") if (found := _CODE.search(told.text or ""))]
        if codes and not any(httpx.codes.is_success(code) for code in codes):
            self.judge(httpx.Response(codes[0]))

    def _entry(self, response: ElementTree.Element) -> Entry | None:
        base = unquote(urlsplit(self.base).path)
        path = unquote(urlsplit(response.findtext(f"{_DAV}href", "")).path)
        if path.rstrip("/") != base and not path.startswith(f"{base}/"):
            return None
        inside = unquote(path.removeprefix(base).strip("/"))
        if response.find(f".//{_DAV}collection") is not None:
            return Entry(inside, None)
        return Entry(inside, int(response.findtext(f".//{_DAV}getcontentlength", "0") or 0))

    def _error(self, meaning: _Meaning, said: str, *, retry_after: float | None = None) -> DriveError:
        sentence = meaning.sentence.format_map({**self.place, "said": said})
        return meaning.kind(f"{self.label}: {sentence}", permanent=meaning.permanent, retry_after=retry_after)
