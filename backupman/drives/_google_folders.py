"""Paths in Google Drive, where a name says nothing: each step is looked up below the ids of the step before.

Drive allows several files and folders of one name in one place. So a path leads to all folders of its names, and what
is looked for is found in any of them; what is made goes into the oldest.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

from backupman.drives import Entry
from backupman.drives._google_client import Connection
from backupman.drives._google_errors import IdInUse
from backupman.errors import DriveError, ObjectNotFound

FOLDER = "application/vnd.google-apps.folder"
_making = Lock()


class Folders:
    """The folders below the root of an account's Drive, or of a shared drive."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._root = connection.shared_drive_id or "root"

    def find(self, path: Sequence[str]) -> list[str]:
        """The ids of the folders of that path, the oldest first."""
        found = [self._root]
        for name in path:
            if not (found := self._named(found, name)):
                break
        return found

    def make(self, path: Sequence[str]) -> str:
        """The id of the folder of that path, with those around it; what is not there is made."""
        place = [self._root]
        for name in path:
            place = self._named(place, name) or [self._made(place, name)]
        return place[0]

    def nearest(self, path: Sequence[str]) -> str:
        """The id of the folder of that path, or of the innermost one around it that is there."""
        place = [self._root]
        for name in path:
            if not (inner := self._named(place, name)):
                break
            place = inner
        return place[0]

    def files(self, folders: Sequence[str], name: str) -> list[str]:
        """The ids of the files of that name in the folders, the oldest first."""
        query = f"{_within(folders)} and name = {_quoted(name)} and mimeType != '{FOLDER}'"
        return [file["id"] for file in self._list(query)] if folders else []

    def walk(self, folders: Sequence[str], prefix: str, path: str = "") -> Iterator[Entry]:
        """All files below the folders whose path there begins with `prefix`; a ref is an id."""
        if not folders:
            return
        inner: dict[str, list[str]] = {}
        for file in self._list(_within(folders)):
            whole = path + file["name"]
            if file["mimeType"] != FOLDER:
                if whole.startswith(prefix):
                    yield Entry(file["id"], whole)
            elif f"{whole}/".startswith(prefix) or prefix.startswith(f"{whole}/"):
                inner.setdefault(file["name"], []).append(file["id"])
        for name, ids in sorted(inner.items()):
            yield from self.walk(ids, prefix, f"{path}{name}/")

    def _named(self, parents: Sequence[str], name: str) -> list[str]:
        query = f"{_within(parents)} and name = {_quoted(name)} and mimeType = '{FOLDER}'"
        return [folder["id"] for folder in self._list(query)]

    def _made(self, place: Sequence[str], name: str) -> str:
        with _making:  # uploads side by side would each make one
            if there := self._named(place, name):
                return there[0]
            # An id of our own: when the answer is lost, the next try makes no second folder.
            folder = self.new_id()
            about = {"id": folder, "name": name, "mimeType": FOLDER, "parents": [place[0]]}
            request = self._connection.files.create(body=about, fields="id", supportsAllDrives=True)
            with suppress(IdInUse):
                self._connection.call(request, f"the folder {name}")
            return folder

    def new_id(self) -> str:
        """A fresh id for something to be made."""
        answer = self._connection.call(self._connection.files.generateIds(count=1, space="drive", type="files"))
        return str(answer["ids"][0])

    def _list(self, query: str) -> Iterator[Mapping[str, Any]]:
        more: dict[str, Any] = {"corpora": "user"}
        if drive := self._connection.shared_drive_id:
            more = {"corpora": "drive", "driveId": drive}
        while True:
            request = self._connection.files.list(
                q=f"{query} and trashed = false",
                orderBy="createdTime,name",
                pageSize=1000,
                fields="nextPageToken,files(id,name,mimeType)",
                supportsAllDrives=True,
                includeItemsFromAllDrives=True,
                **more,
            )
            try:
                page = self._connection.call(request, f"shared drive {drive}" if drive else "the folder")
            except ObjectNotFound as error:  # no object is gone: the place where it stands cannot be seen
                raise DriveError(error.sentence, permanent=True) from None
            yield from page.get("files", [])
            if not page.get("nextPageToken"):
                return
            more["pageToken"] = page["nextPageToken"]


def _within(folders: Sequence[str]) -> str:
    return "(" + " or ".join(f"{_quoted(folder)} in parents" for folder in folders) + ")"


def _quoted(text: str) -> str:
    """A text in a query: https://developers.google.com/workspace/drive/api/guides/search-files."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
