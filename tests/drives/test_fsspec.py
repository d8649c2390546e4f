"""Any filesystem of fsspec: its memory, its local files, and a real FTP server, under the contract of all drives."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import fsspec as library
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import ValidationError

from backupman.drives import Drive
from backupman.drives.fsspec import Fsspec
from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.drive import NAME, DriveContract, Leftovers, ReachedContract, put
from tests.drives._memory import grown
from tests.servers._process import free_port
from tests.servers.ftp import Ftp

BLOCK = 256 * 1024


def fsspec_drive(url: str, **more: object) -> Fsspec:
    settings = {"provider": "fsspec", "label": "some place", "url": url, "block_size": BLOCK, **more}
    return Fsspec.model_validate(settings)


def ftp_drive(ftp: Ftp, folder: str, **more: object) -> Fsspec:
    login = {"options": {"username": ftp.username}, "secret_options": {"password": ftp.password}}
    return fsspec_drive(ftp.url(folder), **{**login, **more})


def unfinished(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*.part")]


class TestMemory(DriveContract):
    part_size = 2**20

    @pytest.fixture
    def drive(self) -> Drive:
        return fsspec_drive(f"memory://{uuid4().hex}")

    @pytest.fixture
    def other(self) -> Drive:
        return fsspec_drive(f"memory://{uuid4().hex}", label="another place")


class TestLocal(DriveContract):
    part_size = 2**20

    @pytest.fixture
    def drive(self, tmp_path: Path) -> Drive:
        return fsspec_drive(f"file://{tmp_path}/back ups", verify=True)

    @pytest.fixture
    def other(self, tmp_path: Path) -> Drive:
        return fsspec_drive(f"file://{tmp_path}/other", label="another place")

    @pytest.fixture
    def leftovers(self, tmp_path: Path) -> Leftovers:
        return lambda: unfinished(tmp_path)


class TestFtp(ReachedContract):
    part_size = 2**20

    @pytest.fixture
    def drive(self, ftp: Ftp) -> Drive:
        return ftp_drive(ftp, f"back ups/{uuid4().hex}")

    @pytest.fixture
    def other(self, ftp: Ftp) -> Drive:
        return ftp_drive(ftp, uuid4().hex, label="another place")

    @pytest.fixture
    def unreachable(self, ftp: Ftp) -> Drive:
        return fsspec_drive(f"ftp://127.0.0.1:{free_port()}/x", secret_options={"password": ftp.password})

    @pytest.fixture
    def leftovers(self, ftp: Ftp) -> Leftovers:
        return lambda: unfinished(ftp.folder)


@pytest.fixture
def registered() -> None:
    """Filesystems that are not what they should be."""
    for cls in (Lossy, Changing, Copying, Blind, HalfBlind):
        library.register_implementation(cls.protocol, cls, clobber=True)


class Lossy(LocalFileSystem):  # type: ignore[misc]  # it has no types
    """Loses the end of what it is given."""

    protocol = "lossy"

    def mv(self, path1: str, path2: str, **kwargs: object) -> None:
        raise AssertionError("what is not whole gets no name")

    def info(self, path: str, **kwargs: object) -> dict[str, object]:
        about: dict[str, object] = super().info(path, **kwargs)
        return about | ({"size": int(str(about["size"])) - 1} if about["type"] == "file" else {})


class Changing(LocalFileSystem):  # type: ignore[misc]  # as above
    """Gives back other bytes than it was given."""

    protocol = "changing"

    def cat_file(self, path: str, **kwargs: object) -> bytes:
        data: bytes = super().cat_file(path, **kwargs)
        return bytes([data[0] ^ 1]) + data[1:]


class Copying(MemoryFileSystem):  # type: ignore[misc]  # as above
    """Can move only by a copy."""

    protocol = "copying"


class Blind(LocalFileSystem):  # type: ignore[misc]  # as above
    """Says "not found" for whatever goes wrong, as that for FTP does."""

    protocol = "blind"

    def ls(self, path: str, detail: bool = False, **kwargs: object) -> list[object]:
        raise FileNotFoundError(path)

    info = ls


class HalfBlind(LocalFileSystem):  # type: ignore[misc]  # as above
    """Says "not found" for one folder that it may not look into, and for all that stands there."""

    protocol = "halfblind"

    def ls(self, path: str, detail: bool = False, **kwargs: object) -> object:
        self._hide(path)
        return super().ls(path, detail, **kwargs)

    def info(self, path: object, **kwargs: object) -> object:
        self._hide(str(path))
        return super().info(path, **kwargs)

    def _hide(self, path: str) -> None:
        if "/shop/" in f"{path}/":
            raise FileNotFoundError(path)


def test_names_are_spelled_so_that_every_filesystem_takes_them(ftp: Ftp) -> None:
    folder = uuid4().hex
    drive = ftp_drive(ftp, folder)
    ref = put(drive, 'shop/*?[a]"|#%.sql', b"body").ref
    assert ref == "shop/%2A%3F%5Ba%5D%22%7C%23%25.sql"
    assert (ftp.folder / folder / ref).read_bytes() == b"body"
    assert drive.path("shop/a*") == f"{ftp.url(folder)}/shop/a%2A"
    put(drive, "shop/other", b"")
    drive.delete(ref)
    assert list(drive.list()) == ["shop/other"], "a pattern removes nothing else"


def test_reading_starts_anywhere(ftp: Ftp) -> None:
    drive = ftp_drive(ftp, uuid4().hex)
    data = os.urandom(20 * 2**20)
    with drive.open(put(drive, NAME, data).ref) as stream:
        assert stream.read() == data
        assert stream.seek(-10, io.SEEK_END) == len(data) - 10
        assert stream.read() == data[-10:]
        stream.seek(500)
        assert stream.read(20) == data[500:520]


def test_what_a_dead_process_left_is_removed(ftp: Ftp) -> None:
    folder = uuid4().hex
    drive = ftp_drive(ftp, folder)
    put(drive, "shop/other", b"")
    (ftp.folder / folder / "shop/dump.part").write_bytes(b"half")
    assert list(drive.list()) == ["shop/other"]
    drive.abort("shop/dump", None)
    assert unfinished(ftp.folder / folder) == []


def test_a_login_that_may_only_read_is_told(ftp: Ftp) -> None:
    folder = uuid4().hex
    (ftp.folder / folder).mkdir()
    drive = ftp_drive(ftp, folder, options={"username": "guest"}, secret_options={"password": "guest"})
    for call in (drive.check, lambda: put(drive, NAME, b"body")):
        with pytest.raises(
            DriveError, match=r"^some place: the server refuses it: look at the login and its rights"
        ) as raised:
            call()
        assert raised.value.permanent
    assert list(drive.list()) == []


def test_a_wrong_password_is_told_and_not_shown(ftp: Ftp) -> None:
    drive = ftp_drive(ftp, "x", secret_options={"password": "wrong-secret"})
    with pytest.raises(DriveError, match="the server refuses it: look at the login") as raised:
        drive.find(NAME)
    assert raised.value.permanent
    assert not isinstance(raised.value, ObjectNotFound)
    assert "wrong-secret" not in raised.value.sentence + repr(drive)


def test_what_is_not_whole_gets_no_name(registered: None, tmp_path: Path) -> None:
    drive = fsspec_drive(f"lossy://{tmp_path}/x")
    with pytest.raises(DriveError, match=r"holds 99 bytes, and 100 were sent; it was removed") as raised:
        put(drive, NAME, bytes(100))
    assert not raised.value.permanent
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_was_changed_on_its_way_is_noticed_by_reading_it_back(registered: None, tmp_path: Path) -> None:
    with pytest.raises(DriveError, match="holds other bytes than were sent; it was removed"):
        put(fsspec_drive(f"changing://{tmp_path}/x", verify=True), NAME, bytes(100))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_filesystem_that_shows_half_a_copy_is_refused(registered: None) -> None:
    drive = fsspec_drive("copying://x")
    with pytest.raises(DriveError, match="some place: copying is not safe for backups") as raised:
        drive.check()
    assert raised.value.permanent
    assert list(drive.list()) == []


def test_a_filesystem_that_finds_nothing_is_not_believed(registered: None, tmp_path: Path) -> None:
    drive = fsspec_drive(f"blind://{tmp_path}")
    calls: list[Callable[[], object]] = [
        lambda: drive.find(NAME),
        lambda: drive.stat(NAME),
        lambda: drive.delete(NAME),
        lambda: list(drive.list()),
    ]
    for call in calls:
        with pytest.raises(DriveError, match="is said to be missing, and its folder does not say so") as raised:
            call()
        assert not isinstance(raised.value, ObjectNotFound)
        assert not raised.value.permanent


def test_a_folder_that_cannot_be_listed_hides_no_backup(registered: None, tmp_path: Path) -> None:
    ref = put(fsspec_drive(f"file://{tmp_path}"), "shop/dump", b"body").ref
    drive = fsspec_drive(f"halfblind://{tmp_path}")
    for call in (lambda: drive.find("shop/dump"), lambda: drive.delete(ref), lambda: list(drive.list())):
        with pytest.raises(DriveError, match="is said to be missing, and its folder does not say so") as raised:
            call()
        assert not isinstance(raised.value, ObjectNotFound)
    assert drive.find("nothing/dump") is None


def test_a_folder_is_no_object(ftp: Ftp) -> None:
    drive = ftp_drive(ftp, uuid4().hex)
    put(drive, "shop/dump", b"body")
    assert drive.find("shop") is None


def test_what_fsspec_does_not_know_is_said(ftp: Ftp) -> None:
    with pytest.raises(DriveError, match=r"fsspec cannot use url or options: correct them .*nonsense"):
        fsspec_drive("nonsense://x").check()
    with pytest.raises(DriveError, match="needs a package that is not installed"):
        fsspec_drive("smb://host/share").check()
    with pytest.raises(DriveError, match="does not take these options"):
        ftp_drive(ftp, "x", options={"username": ["a", "list"]}).check()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("/srv/backups", "should be a URL"),
        ("simplecache::ftp://host/x", "without `::`"),
        ("ftp://user:secret@host/x", "put it into secret_options"),
        ("https://host/x", "use provider: webdav"),
    ],
)
def test_urls_that_make_no_sense_are_refused(url: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence) as raised:
        fsspec_drive(url)
    assert "user:secret" not in str(raised.value)


def test_memory_is_bounded_by_the_block(ftp: Ftp) -> None:
    drive = ftp_drive(ftp, uuid4().hex, block_size="4MiB")
    assert grown(drive, 60 * 2**20) < 6 * 4 * 2**20
    [path] = (ftp.folder / drive.url.rpartition("/")[2]).glob("large")
    path.unlink()


def test_the_library_is_imported_when_it_is_used() -> None:
    program = (
        "import sys; from backupman.drives.fsspec import Fsspec; "
        "Fsspec(provider='fsspec', label='l', url='ftp://h/x'); "
        "sys.exit('fsspec' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
