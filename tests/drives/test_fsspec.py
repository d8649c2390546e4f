"""Any filesystem of fsspec: its memory, its local files, and a real FTP server, under the contract of all drives."""

import io
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from backupman.drives import Drive
from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.drive import DriveContract, Leftovers, ReachedContract
from tests.contracts.objects import NAME, put
from tests.drives._fsspec import fsspec_drive, ftp_drive, unfinished
from tests.drives._memory import grown
from tests.servers._process import free_port
from tests.servers.ftp import Ftp


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


def test_a_folder_that_is_away_is_no_empty_folder(ftp: Ftp) -> None:
    folder = uuid4().hex
    drive = ftp_drive(ftp, f"{folder}/backups")
    ref = put(drive, NAME, b"body").ref
    away = (ftp.folder / folder).rename(ftp.folder / f"{folder}-away")
    for use in (drive.open, drive.stat, drive.delete):
        with pytest.raises(DriveError, match=r"^some place: ftp://.*/backups is not there: mount its disk") as raised:
            use(ref)
        assert not isinstance(raised.value, ObjectNotFound)
        assert not raised.value.permanent
    drive.abort(NAME, None)
    away.rename(ftp.folder / folder)
    assert list(drive.list()) == [ref]
    assert put(ftp_drive(ftp, uuid4().hex), NAME, b"body").ref == ref, "a new one is made"


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


def test_a_folder_of_this_machine_is_one_that_is_written_to(tmp_path: Path) -> None:
    assert fsspec_drive(f"file://{tmp_path}/x").folders() == {tmp_path / "x": True}
    assert fsspec_drive("ftp://host/x").folders() == {}


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
