"""The WebDAV drive against wsgidav: the contract, logins, TLS, and what stands on the server."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import trustme
from pydantic import ValidationError

from backupman.drives import Drive
from backupman.drives.webdav import Webdav
from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.drive import Leftovers, ReachedContract
from tests.contracts.objects import NAME, content, put
from tests.drives._proxy import Answer, Forward, Request, proxy
from tests.servers._process import free_port
from tests.servers.webdav import Webdav as Server

pytestmark = pytest.mark.service("webdav")

MIB = 2**20


def webdav_drive(server: Server, place: Path, /, **more: object) -> Webdav:
    """A drive at that server; a setting of None is left out."""
    settings = {
        "provider": "webdav",
        "label": "a cloud",
        "url": f"{server.url}/",
        "folder": place.name,
        "username": server.username,
        "password": server.password,
        "timeout": "20s",
        **more,
    }
    return Webdav.model_validate({name: value for name, value in settings.items() if value is not None})


@pytest.fixture
def folder(webdav: Server) -> Path:
    return webdav.make_folder(uuid4().hex)


@pytest.fixture
def drive(webdav: Server, folder: Path) -> Webdav:
    return webdav_drive(webdav, folder)


def files(folder: Path) -> list[str]:
    """The files below a folder of the server's."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def unfinished(folder: Path) -> list[str]:
    """What stands in a folder besides whole objects."""
    return [str(path) for path in folder.rglob("*.part")]


class TestWebdav(ReachedContract):
    @pytest.fixture
    def drive(self, webdav: Server, folder: Path) -> Drive:
        return webdav_drive(webdav, folder)

    @pytest.fixture
    def other(self, webdav: Server) -> Drive:
        return webdav_drive(webdav, webdav.make_folder(uuid4().hex), label="another cloud")

    @pytest.fixture
    def unreachable(self, webdav: Server) -> Drive:
        return webdav_drive(webdav, Path("x"), url=f"http://127.0.0.1:{free_port()}")

    @pytest.fixture
    def leftovers(self, folder: Path) -> Leftovers:
        return lambda: unfinished(folder)


def test_the_length_is_told_before_where_it_is_known(webdav: Server, folder: Path) -> None:
    seen: list[dict[str, str]] = []

    def watching(request: Request, forward: Forward) -> Answer:
        if request.method == "PUT":
            seen.append(request.headers)
        return forward()

    with proxy(webdav.url) as way:
        way.rule = watching
        drive = webdav_drive(webdav, folder, url=way.endpoint)
        put(drive, NAME, bytes(3 * MIB))
    [headers] = seen
    assert headers["content-length"] == str(3 * MIB)
    assert "transfer-encoding" not in headers


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_logins(webdav: Server, folder: Path, auth: str) -> None:
    drive = webdav_drive(webdav, folder, auth=auth)
    drive.check()
    data = os.urandom(MIB + 1)
    assert content(drive, put(drive, NAME, data).ref) == data
    drive.delete(NAME)
    for more in ({"password": "s3cret"}, {"username": "eve"}, {"username": None, "password": None}):
        with pytest.raises(DriveError, match=r"^a cloud: .* does not let \S+ in: correct username") as raised:
            webdav_drive(webdav, folder, auth=auth, **more).check()
        assert raised.value.permanent
        assert "s3cret" not in str(raised.value)


def test_the_folder_is_made_and_only_by_an_upload(webdav: Server, folder: Path) -> None:
    drive = webdav_drive(webdav, folder, folder=f"{folder.name}/a b/ß?")
    drive.check()
    assert list(folder.iterdir()) == []
    uses: list[Callable[[], object]] = [
        lambda: drive.stat(NAME),
        lambda: drive.open(NAME),
        lambda: drive.delete(NAME),
        lambda: list(drive.list()),
        lambda: drive.find(NAME),
    ]
    for use in uses:
        with pytest.raises(DriveError, match=r"is not there: make it, or correct url and folder") as raised:
            use()
        assert not isinstance(raised.value, ObjectNotFound), "a folder that is away is no missing object"
    drive.abort(NAME, None)
    assert content(drive, put(drive, NAME, b"body").ref) == b"body"


def test_abort_removes_exactly_the_unfinished_upload(drive: Webdav, folder: Path) -> None:
    put(drive, "shop/whole", b"body")
    names = ["a.01234567.part", "a.89abcdef.part", "a.json.01234567.part", "b.01234567.part", "a.part"]
    for name in names:
        (folder / "shop" / name).touch()
    (folder / "shop" / "a.lock.part").mkdir()
    assert list(drive.list()) == ["shop/whole"]
    drive.abort("shop/a", "01234567")
    assert sorted(path.name for path in (folder / "shop").iterdir()) == sorted([*names[1:], "whole"])
    drive.abort("shop/a", None)
    assert sorted(path.name for path in (folder / "shop").iterdir()) == sorted([*names[2:], "whole"])


def test_an_object_is_read_from_anywhere(drive: Webdav) -> None:
    data = os.urandom(3 * MIB + 3)
    ref = put(drive, NAME, data).ref
    with drive.open(ref) as stream:
        for position in (2 * MIB - 1, 0, 3 * MIB, len(data) + 5):
            stream.seek(position)
            assert stream.read(1000) == data[position : position + 1000]
        stream.seek(-3, os.SEEK_END)
        assert stream.read() == data[-3:]


def test_tls_is_verified(webdav: Server, folder: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def plainly(request: Request, forward: Forward) -> Answer:
        request.headers |= {"destination": request.headers.get("destination", "").replace("https:", "http:")}
        return forward()

    with proxy(webdav.url, context) as secure:
        secure.rule = plainly
        with pytest.raises(DriveError, match=r"^a cloud: no TLS with .*: for a private certificate set ca_file"):
            webdav_drive(webdav, folder, url=secure.endpoint).check()
        with pytest.raises(DriveError, match=r"^a cloud: ca_file .* holds no certificates"):
            webdav_drive(webdav, folder, url=secure.endpoint, ca_file=tmp_path / "none").check()
        for more in ({"ca_file": tmp_path / "ca.pem"}, {"verify_tls": False}):
            webdav_drive(webdav, folder, url=secure.endpoint, **more).check()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"url": "cloud.example.com/dav"}, "should be an address"),
        ({"url": "https://me:secret@cloud.example.com/dav"}, "should hold no password"),
        ({"password": None}, "belong together"),
        ({"folder": "../x"}, "cannot be the name"),
        ({"auth": "ntlm"}, "'basic' or 'digest'"),
    ],
)
def test_settings_that_do_not_go_together(more: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        webdav_drive(Server(80, Path("/x")), Path("x"), **more)


def test_what_is_worth_a_warning() -> None:
    server = Server(80, Path("/x"))
    plain, trusting = webdav_drive(server, Path("x"), verify_tls=False).warnings()
    assert plain.startswith("a cloud: url is no https address")
    assert trusting.startswith("a cloud: verify_tls is false")
    assert webdav_drive(server, Path("x"), url="https://cloud.example.com").warnings() == []
