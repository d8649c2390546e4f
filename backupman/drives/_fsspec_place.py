"""A folder that fsspec leads to: the few calls of a filesystem that are exact, and what their errors mean.

`rm`, `mv` and `find` of fsspec take patterns, or leave out what they cannot read: they are never asked here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlsplit

from backupman.drives import PART
from backupman.drives import _door as door
from backupman.drives._door import Meaning
from backupman.errors import DriveError, ObjectNotFound
from backupman.retry import RetryPolicy

_COPIES = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "r2"})
"""Filesystems that move by a copy which is one step for whoever looks: an object is there whole, or not at all."""

_SAFE = " !$&'()+,-./;=@^_`{}~"
"""Signs that stay as they are in names, beside letters and digits of all languages."""

_FAULTS: Mapping[str, Meaning] = {
    "FileNotFoundError": Meaning("there is no {object}", kind=ObjectNotFound),
    "PermissionError": Meaning("the login may not do that with {object}: give it the right to write there ({said})"),
    "NotImplementedError": Meaning("the filesystem cannot do what is needed to keep backups there ({said})"),
    "ImportError": Meaning("the filesystem needs a package that is not installed ({said})"),
    "TypeError": Meaning("the filesystem does not take these options: correct options ({said})"),
    "ValueError": Meaning("fsspec cannot use url or options: correct them ({said})"),
    "error_perm": Meaning("the server refuses it: look at the login and its rights ({said})"),
    "Exception": Meaning("the filesystem failed ({said})", permanent=False),
}
"""By the name of the exception's class or of its nearest base."""


def spelled(name: str) -> str:
    """The name without what filesystems or fsspec would take for something else: those signs percent-encoded."""
    return "".join(sign if sign.isalnum() or sign in _SAFE else quote(sign, safe="") for sign in name)


class Door(door.Door):
    """Any filesystem's errors, of whatever library. `place` is what sentences may name: the label alone."""

    chained = False  # its text may hold a login

    def __init__(self, place: Mapping[str, str], retry: RetryPolicy, redact: Callable[[str], str]) -> None:
        super().__init__(place, retry)
        self._redact = redact

    def _explain(self, error: Exception, of: str) -> DriveError | None:
        names = [base.__name__ for base in type(error).__mro__]
        meaning = next(_FAULTS[name] for name in names if name in _FAULTS)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        said = " ".join(re.sub(r"//[^/@\s]*@", "//…@", text).split())[:300].rstrip(".")
        sentence = self._redact(meaning.sentence.format(object=of, said=said))
        return meaning.kind(f"{self.label}: {sentence}", permanent=meaning.permanent)


class Place:
    """The folder, over a connection of one thread. Raises DriveError, ObjectNotFound."""

    def __init__(self, door: Door, url: str, options: Mapping[str, Any]) -> None:
        self.door = door
        self._url = url
        self._options = {"use_listings_cache": False, **options}
        self._fs, self._root = door.call(self._connect, url)

    def size(self, ref: str) -> int:
        """How large an object is."""
        return int(self._ask(lambda: self._info(ref)["size"], ref))

    def is_there(self, ref: str) -> bool:
        """Whether there is an object of that name."""
        try:
            self.size(ref)
        except ObjectNotFound:
            return False
        return True

    @contextmanager
    def there(self) -> Iterator[None]:
        """A disk that is away must never look like one whose objects are gone; where folders are but names, none is."""
        try:
            yield
        except ObjectNotFound:
            if self._moves and not self._ask(lambda: self._fs.isdir(self._path("")), ""):
                raise DriveError(
                    f"{self.door.label}: {self._url} is not there: mount its disk, make it, or correct url"
                ) from None
            raise

    def walk(self, folder: str = "") -> Iterator[str]:
        """The names of all whole objects below a folder."""
        try:
            entries = self._ask(lambda: self._ls(folder), folder)
        except ObjectNotFound:
            return
        for name, is_folder in sorted(entries):
            inner = f"{folder}/{name}" if folder else name
            if is_folder:
                yield from self.walk(inner)
            elif not name.endswith(PART):
                yield inner

    def read(self, ref: str, start: int, end: int) -> bytes:
        """The bytes of an object from `start` before `end`."""

        def attempt() -> bytes:
            data: bytes = self._fs.cat_file(self._path(ref), start=start, end=end)
            if len(data) != end - start:
                raise OSError(f"{len(data)} instead of {end - start} bytes came of {ref}")
            return data

        found: bytes = self._ask(attempt, ref)
        return found

    def writer(self, ref: str, block: int) -> Any:
        """A file to write; what is in it counts only once it is closed."""
        with self.door.explained(ref):
            return self._fs.open(self._path(ref), "wb", block_size=block)

    def make_folder_of(self, ref: str) -> None:
        """Make the folders that an object stands in; others may make them at the same time."""
        folder = self._path(ref).rpartition("/")[0]

        def attempt(left: int) -> None:
            try:
                self._fs.makedirs(folder, exist_ok=True)
            except Exception:
                self._fs.invalidate_cache()
                if self._fs.isdir(folder):
                    return
                if not left:
                    raise
                attempt(left - 1)  # somebody has made one of them meanwhile

        self.door.call(lambda: attempt(folder.count("/")), folder)

    def move(self, old: str, new: str) -> None:
        """Give a file its name."""
        with self.door.explained(new):
            if self._moves:
                self._fs.mv(self._path(old), self._path(new))
                return
            self._fs.cp_file(self._path(old), self._path(new))
            self._fs.rm_file(self._path(old))

    def remove(self, ref: str) -> None:
        """Remove exactly that file. Raises ObjectNotFound where there is none."""

        def attempt() -> None:
            self._info(ref)
            self._fs.rm_file(self._path(ref))

        self._ask(attempt, ref)

    def check_moves(self) -> None:
        """Raise DriveError where a file can only get its name by a copy that others would see half of."""
        protocols = self._fs.protocol
        known = _COPIES & {protocols} if isinstance(protocols, str) else _COPIES & set(protocols)
        if not self._moves and not known:
            why = "it can only be moved into place by a copy, of which others may see a part"
            raise DriveError(
                f"{self.door.label}: {urlsplit(self._url).scheme} is not safe for backups: {why}", permanent=True
            )

    @property
    def _moves(self) -> bool:
        from fsspec import AbstractFileSystem

        return type(self._fs).mv is not AbstractFileSystem.mv

    def _connect(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        fs, root = url_to_fs(self._url, skip_instance_cache=True, **self._options)
        return fs, str(root).rstrip("/")

    def _path(self, ref: str) -> str:
        return f"{self._root}/{ref}" if ref else self._root or "/"

    def _info(self, ref: str) -> Mapping[str, Any]:
        self._fs.invalidate_cache()
        about: Mapping[str, Any] = self._fs.info(self._path(ref))
        if about["type"] == "directory":
            raise _Folder(ref)
        return about

    def _ls(self, folder: str) -> list[tuple[str, bool]]:
        """What stands in a folder: names, and whether they are folders."""
        self._fs.invalidate_cache()
        path = self._path(folder)
        entries = [entry for entry in self._fs.ls(path, detail=True) if entry["name"].strip("/") != path.strip("/")]
        return [(entry["name"].rstrip("/").rpartition("/")[2], entry["type"] == "directory") for entry in entries]

    def _ask(self, function: Callable[[], Any], ref: str) -> Any:
        """What `function` returns. That something is not there is believed only if a folder above it says so too.

        Some filesystems say "not found" for whatever goes wrong, and what is not found is forgotten by the retention.
        """

        def attempt() -> Any:
            try:
                return function()
            except _Folder:
                raise
            except FileNotFoundError:
                if not self._surely_missing(self._path(ref)):
                    raise OSError(f"{ref or self._url} is said to be missing, and its folder does not say so") from None
                raise

        return self.door.call(attempt, ref or self._url)

    def _surely_missing(self, path: str) -> bool:
        """Whether a folder above says so. Each folder on the way may be made by others while it is looked for."""
        return any(self._lacks(path) for _ in range(path.count("/")))

    def _lacks(self, path: str) -> bool:
        """Whether the nearest folder above that can be listed lacks what leads there."""
        self._fs.invalidate_cache()
        while path.strip("/"):
            folder, _, name = path.rpartition("/")
            with suppress(FileNotFoundError):
                entries = self._fs.ls(folder or "/", detail=True)
                return name not in {entry["name"].rstrip("/").rpartition("/")[2] for entry in entries}
            path = folder
        return False


class _Folder(FileNotFoundError):
    """There is a folder of an object's name."""
