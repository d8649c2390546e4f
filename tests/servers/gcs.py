"""Google Cloud Storage's JSON API over HTTP on 127.0.0.1, as the real client library talks to it.

Written after https://cloud.google.com/storage/docs/json_api/v1 and /docs/performing-resumable-uploads: conditions on
generations, permissions, retention. Its tokens and its resumable protocol are those of the server of Google Drive.
"""

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import pytest

from tests.servers._google_files import Refused, Session
from tests.servers.google_drive import Google, Handler, serving

RIGHTS = frozenset({"create", "get", "list", "delete"})


@dataclass
class Object:
    """An object as it is stored."""

    name: str
    about: dict[str, Any]
    content: bytes
    generation: str

    def document(self) -> dict[str, Any]:
        """As the API shows it."""
        md5 = base64.b64encode(hashlib.md5(self.content, usedforsecurity=False).digest()).decode()
        return self.about | {"size": str(len(self.content)), "md5Hash": md5, "generation": self.generation}


@dataclass
class Buckets:
    """All that Google holds. What tests set: what accounts may do, which names are locked and why, a page's length."""

    sessions: dict[str, Session] = field(default_factory=dict)
    buckets: dict[str, dict[str, Object]] = field(default_factory=dict)
    rights: set[str] = field(default_factory=lambda: set(RIGHTS))
    locked: dict[str, str] = field(default_factory=dict)
    page_size: int = 1000
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(1700000000000001))

    def bucket(self, name: str) -> dict[str, Object]:
        """The objects of a bucket."""
        if name not in self.buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        return self.buckets[name]

    def object(self, bucket: str, name: str, query: dict[str, str]) -> Object:
        """One object, on the query's condition."""
        found = self.bucket(bucket).get(name)
        self.check(found, query)
        if found is None:
            raise Refused(404, "notFound", f"No such object: {bucket}/{name}")
        return found

    def may(self, right: str) -> None:
        """Refuse what the account has no right to."""
        if right not in self.rights:
            raise Refused(403, "forbidden", f"it does not have storage.objects.{right} access")

    @staticmethod
    def check(found: Object | None, query: dict[str, str]) -> None:
        """Refuse what the condition on the generation does not hold for; 0 is that there is nothing."""
        wanted = query.get("ifGenerationMatch")
        if wanted is not None and wanted != (found.generation if found else "0"):
            raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")

    def store(self, bucket: str, about: dict[str, Any], content: bytes, query: dict[str, str]) -> Object:
        """Make an object."""
        self.check(self.bucket(bucket).get(about["name"]), query)
        made = Object(about["name"], about, content, str(next(self._count)))
        self.bucket(bucket)[made.name] = made
        return made


class Storage(Google):
    """The server while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Buckets()
        self.drives.sessions = self.storage.sessions

    def make_bucket(self) -> str:
        """Make an empty bucket and give its fresh name."""
        name = f"bucket-{uuid4().hex[:12]}"
        self.storage.buckets[name] = {}
        return name

    def objects(self, bucket: str) -> dict[str, bytes]:
        """What a bucket holds."""
        return {name: found.content for name, found in self.storage.bucket(bucket).items()}


class _Handler(Handler):
    google: Storage

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path == "/token" or "upload_id" in query:
            super()._route(path, query, body)
            return
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.google.callers:
            raise Refused(401, "authError", "Invalid Credentials")
        collection, _, rest = path.removeprefix("/upload").partition("/storage/v1/b/")
        bucket, _, name = rest.partition("/o")
        if collection or not bucket:
            raise Refused(400, "badRequest", path)
        storage = self.google.storage
        if self.command == "POST":
            storage.may("create")
            storage.bucket(bucket)
            self._begin(bucket, path, query, json.loads(body))
        elif not name:
            storage.may("list")
            self._objects(bucket, query)
        else:
            self._object(bucket, unquote(name.removeprefix("/")), query)

    def _begin(self, bucket: str, path: str, query: dict[str, str], about: dict[str, Any]) -> None:
        if not path.startswith("/upload") or query.get("uploadType") != "resumable":
            raise Refused(400, "badRequest", "Only resumable uploads are spoken here.")
        session, [caller] = uuid4().hex + uuid4().hex, set(self.google.callers.values())
        self.google.storage.sessions[session] = Session(caller, about | {"_bucket": bucket, "_query": query})
        where = f"http://{self.headers['Host']}{path}?uploadType=resumable&upload_id={session}"
        self._answer(200, b"", {"Location": where})

    def _complete(self, session: Session) -> None:
        about = {key: value for key, value in session.about.items() if not key.startswith("_")}
        bucket, query = session.about["_bucket"], session.about["_query"]
        made = self.google.storage.store(bucket, about, bytes(session.content), query)
        session.ended = made.name

    def _ended(self, session: Session) -> object:
        return self.google.storage.bucket(session.about["_bucket"])[session.ended or ""].document()

    def _objects(self, bucket: str, query: dict[str, str]) -> None:
        names = [
            name for name in sorted(self.google.storage.bucket(bucket)) if name.startswith(query.get("prefix", ""))
        ]
        start, size = int(query.get("pageToken", 0)), self.google.storage.page_size
        page: dict[str, Any] = {"items": [{"name": name} for name in names[start : start + size]]}
        if start + size < len(names):
            page["nextPageToken"] = str(start + size)
        self._json(page)

    def _object(self, bucket: str, name: str, query: dict[str, str]) -> None:
        storage = self.google.storage
        storage.may("delete" if self.command == "DELETE" else "get")
        found = storage.object(bucket, name, query)
        if self.command == "DELETE":
            if name in storage.locked:
                raise Refused(403, storage.locked[name], f"Object '{bucket}/{name}' cannot be deleted.")
            del storage.bucket(bucket)[name]
            self._answer(204)
        elif query.get("alt") == "media":
            self._media(found.content)
        else:
            self._json(found.document())

    def _query(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}


@pytest.fixture
def gcs() -> Iterator[Storage]:
    """A Google Cloud Storage of this test's own."""
    running = Storage()
    with serving(running, _Handler):
        yield running
