"""The WebDAV drive and what other servers than wsgidav answer, as they were seen to: nginx, Apache, lighttpd."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import pytest

from backupman.drives.webdav import Webdav
from backupman.errors import DriveError
from backupman.retry import RetryPolicy
from tests.contracts.objects import NAME, content, put
from tests.drives._proxy import Answer, Forward, Proxy, Request, proxy
from tests.drives.test_webdav import unfinished, webdav_drive
from tests.servers.webdav import Webdav as Server

pytestmark = pytest.mark.service("webdav")


@pytest.fixture
def folder(webdav: Server) -> Path:
    return webdav.make_folder(uuid4().hex)


@pytest.fixture
def in_front(webdav: Server) -> Iterator[Proxy]:
    with proxy(webdav.url) as running:
        yield running


@pytest.fixture
def behind(webdav: Server, folder: Path, in_front: Proxy) -> Webdav:
    """A drive at a server that answers as another one does."""
    drive = webdav_drive(webdav, folder, url=in_front.endpoint)
    drive.with_retry(RetryPolicy(attempts=3, first_wait=0.01, max_wait=0.05))
    return drive


def test_a_folder_is_named_with_a_slash(behind: Webdav, webdav: Server, folder: Path, in_front: Proxy) -> None:
    """As nginx wants it, and as Apache with mod_dir does."""
    name = f"shop/db+1/{NAME}"

    def strict(request: Request, forward: Forward) -> Answer:
        if not request.target.endswith("/"):
            if request.method == "MKCOL":
                return Answer(409, close=True)
            if (webdav.folder / unquote(request.target).lstrip("/")).is_dir():
                return Answer(301, b"", {"location": f"{request.target}/"}, close=True)
        return forward()

    in_front.rule = strict
    behind.check()
    assert content(behind, put(behind, name, b"body").ref) == b"body"
    assert list(behind.list()) == [name]
    (folder / f"{name}.lock.part").mkdir()
    behind.abort(name, None)
    assert unfinished(folder) == []
    behind.delete(name)
    assert behind.find(name) is None


REFUSED = b"""<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="urn:uuid:c2f41010-65b3-11d1-a29f-00aa00c14882/">
<D:response>
<D:href>%s</D:href>
<D:propstat>
<D:status>HTTP/1.1 403 Forbidden</D:status>
</D:propstat>
</D:response>
</D:multistatus>
"""


@pytest.mark.parametrize("below", ["/", "/shop/", "/shop/orders/"])
def test_a_folder_that_is_refused_inside_an_answer_is_not_empty(
    behind: Webdav, folder: Path, in_front: Proxy, below: str
) -> None:
    """As lighttpd 1.4.79 says that it may not read a folder."""
    refused = f"/{folder.name}{below}"

    def refuse(request: Request, forward: Forward) -> Answer:
        return Answer(207, REFUSED % refused.encode()) if request.target == refused else forward()

    put(behind, NAME, b"body")
    in_front.rule = refuse
    with pytest.raises(DriveError, match=r"^a cloud: shop may not do that in http"):
        list(behind.list())


def test_a_file_in_the_place_of_the_folder_is_no_empty_folder(
    behind: Webdav, folder: Path, webdav: Server, in_front: Proxy
) -> None:
    """As nginx answers, where a file may have a slash at its end."""
    (webdav.folder / f"{folder.name}.file").write_bytes(b"")
    drive = behind.model_copy(update={"folder": f"{folder.name}.file"})

    def lenient(request: Request, forward: Forward) -> Answer:
        request.target = request.target.rstrip("/")
        return forward()

    in_front.rule = lenient
    with pytest.raises(DriveError, match=r"^a cloud: http.* is not there"):
        list(drive.list())
