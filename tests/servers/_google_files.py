"""What a Google Drive holds, for the server of the tests: files by id, folders, shared drives, upload sessions.

Written after https://developers.google.com/workspace/drive/api/reference/rest/v3: names may stand twice in one place,
an app with the scope drive.file sees what it has made itself, and what is in the trash is still there.
"""

import hashlib
import itertools
import re
from dataclasses import dataclass, field
from typing import Any

FOLDER = "application/vnd.google-apps.folder"
STEP = 256 * 1024

_TEXT = r"'((?:[^'\\]|\\.)*)'"
_PARENT = re.compile(rf"{_TEXT} in parents")
_NAME = re.compile(rf"name = {_TEXT}")
_MIME = re.compile(rf"mimeType (!?=) {_TEXT}")
_TRASHED = re.compile(r"trashed = (true|false)")


class Refused(Exception):
    """An answer that is an error: status, reason, message."""

    def __init__(self, status: int, reason: str, message: str = "said so") -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


@dataclass(frozen=True)
class Caller:
    """Who calls: the account, the OAuth client that it uses, and whether it sees that client's files only."""

    account: str
    client: str
    own_files_only: bool


@dataclass
class File:
    """A file or folder; `maker` is the OAuth client that made it, `place` the account or shared drive it belongs to."""

    id: str
    name: str
    mime: str
    parent: str
    maker: str
    place: str
    number: int
    content: bytes = b""
    trashed: bool = False
    properties: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As the API shows it."""
        about = {"id": self.id, "name": self.name, "mimeType": self.mime, "trashed": self.trashed}
        if self.mime == FOLDER:
            return about
        return about | {
            "size": str(len(self.content)),
            "md5Checksum": hashlib.md5(self.content, usedforsecurity=False).hexdigest(),
            "sha256Checksum": hashlib.sha256(self.content).hexdigest(),
        }


@dataclass
class Session:
    """A resumable upload: what the file will be, and its bytes so far; `ended` once the file is there."""

    caller: Caller
    about: dict[str, Any]
    content: bytearray = field(default_factory=bytearray)
    ended: str | None = None


@dataclass
class Drives:
    """All that Google holds. What tests set: `quota` in bytes, how many results a page has, who may delete for good."""

    shared: set[str] = field(default_factory=set)
    quota: int | None = None
    page_size: int = 1000
    may_delete: bool = True
    files: dict[str, File] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    _count: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def new_id(self) -> str:
        """A fresh id, which a file may be made with."""
        fresh = f"id{next(self._count)}"
        self.ids.add(fresh)
        return fresh

    def visible(self, file_id: str, caller: Caller, all_drives: bool) -> File:
        """The file, if the caller can see it."""
        file = self.files.get(file_id)
        if file is None or not self._sees(caller, file) or (file.place in self.shared and not all_drives):
            raise Refused(404, "notFound", f"File not found: {file_id}.")
        return file

    def create(self, about: dict[str, Any], caller: Caller, all_drives: bool, content: bytes = b"") -> File:
        """Make a file or folder."""
        [parent] = about.get("parents", ["root"])
        place = self._place(parent, caller, all_drives)
        if "id" in about and about["id"] not in self.ids:
            raise Refused(400, "invalid", "The provided file ID is not usable.")
        file_id = about.get("id") or self.new_id()
        if file_id in self.files:
            raise Refused(409, "fileIdInUse", "A file already exists with the provided ID.")
        if (
            self.quota is not None
            and sum(len(file.content) for file in self.files.values()) + len(content) > self.quota
        ):
            raise Refused(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")
        number = next(self._count)
        mime = about.get("mimeType", "application/octet-stream")
        made = File(file_id, about["name"], mime, self._real(parent, caller), caller.client, place, number, content)
        made.properties = about.get("appProperties", {})
        if any(len(f"{key}{value}".encode()) > 124 for key, value in made.properties.items()):
            raise Refused(400, "badRequest", "A property is too long.")
        self.files[file_id] = made
        return made

    def check_parent(self, about: dict[str, Any], caller: Caller, all_drives: bool) -> None:
        """Whether something may be made there."""
        [parent] = about.get("parents", ["root"])
        self._place(parent, caller, all_drives)

    def delete(self, file_id: str, caller: Caller, all_drives: bool) -> None:
        """Remove a file, or a folder with all that is in it."""
        file = self.visible(file_id, caller, all_drives)
        if not self.may_delete:
            raise Refused(403, "insufficientFilePermissions", "The user does not have sufficient permissions.")
        self._remove(file)

    def listed(self, query: str, caller: Caller, drive: str | None) -> list[File]:
        """What matches a query, the oldest first."""
        if drive and drive not in self.shared:
            raise Refused(404, "notFound", f"Shared drive not found: {drive}")
        if re.sub(r"[()]|\b(and|or)\b", "", _rest(query)).strip():
            raise Refused(400, "invalid", f"Invalid Value: {query}")
        parents = {self._real(_plain(text), caller) for text in _PARENT.findall(query)}
        names = [_plain(text) for text in _NAME.findall(query)]
        kinds = [(sign, _plain(text)) for sign, text in _MIME.findall(query)]
        trashed = [text == "true" for text in _TRASHED.findall(query)]
        place = drive or caller.account
        return sorted(
            (
                file
                for file in self.files.values()
                if self._sees(caller, file)
                and file.place == place
                and (not parents or file.parent in parents)
                and all(file.name == name for name in names)
                and all((file.mime == kind) == (sign == "=") for sign, kind in kinds)
                and all(file.trashed == wanted for wanted in trashed)
            ),
            key=lambda file: file.number,
        )

    def paths(self) -> dict[str, bytes]:
        """Every file that is not in the trash, by its path; folders end in `/`."""
        return {self._path(file): file.content for file in self.files.values() if not file.trashed}

    def _path(self, file: File) -> str:
        above = self.files.get(file.parent)
        return (self._path(above) if above else "") + file.name + ("/" if file.mime == FOLDER else "")

    def _remove(self, file: File) -> None:
        for inner in [inner for inner in self.files.values() if inner.parent == file.id]:
            self._remove(inner)
        self.files.pop(file.id, None)

    def _place(self, parent: str, caller: Caller, all_drives: bool) -> str:
        if parent in self.shared and all_drives:
            return parent
        if parent == "root":
            return caller.account
        return self.visible(parent, caller, all_drives).place

    def _real(self, parent: str, caller: Caller) -> str:
        return f"root of {caller.account}" if parent == "root" else parent

    def _sees(self, caller: Caller, file: File) -> bool:
        return file.place in (caller.account, *self.shared) and (
            not caller.own_files_only or file.maker == caller.client
        )


def _rest(query: str) -> str:
    """What of a query is no condition that we know."""
    for condition in (_PARENT, _NAME, _MIME, _TRASHED):
        query = condition.sub("", query)
    return query


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
