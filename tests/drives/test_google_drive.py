"""Google Drive against a server that speaks Drive v3: the contract, its settings, and what arrives there."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backupman.drives import Drive
from backupman.drives.google_drive import GoogleDrive
from backupman.errors import DriveError, ObjectNotFound
from tests.contracts.drive import Leftovers, ReachedContract
from tests.contracts.objects import NAME, content, put
from tests.drives._google import CHUNK, google_drive, shared_drive
from tests.servers._process import free_port
from tests.servers.google_drive import Google


class TestGoogleDrive(ReachedContract):
    part_size = CHUNK

    @pytest.fixture
    def drive(self, google: Google, tmp_path: Path) -> Drive:
        return google_drive(google, tmp_path)

    @pytest.fixture
    def other(self, google: Google, tmp_path: Path) -> Drive:
        return google_drive(google, tmp_path, label="another folder", folder="elsewhere")

    @pytest.fixture
    def unreachable(self, google: Google, tmp_path: Path) -> Drive:
        return google_drive(google, tmp_path, endpoint=f"http://127.0.0.1:{free_port()}")

    @pytest.fixture
    def leftovers(self, google: Google) -> Leftovers:
        return google.open_sessions


class TestSharedDrive(TestGoogleDrive):
    @pytest.fixture
    def drive(self, google: Google, tmp_path: Path) -> Drive:
        return shared_drive(google, tmp_path, "0Ashared")

    @pytest.fixture
    def other(self, google: Google, tmp_path: Path) -> Drive:
        return shared_drive(google, tmp_path, "0Aother", label="another shared drive")


@pytest.fixture
def drive(google: Google, tmp_path: Path) -> GoogleDrive:
    return google_drive(google, tmp_path)


def test_names_become_folders_and_what_is_stored_is_told(google: Google, drive: GoogleDrive) -> None:
    data = os.urandom(2 * CHUNK + 1)
    stored = drive.upload(io.BytesIO(data), NAME, {"source": "größe", "long": "x" * 200})
    where = "back ups/da'ta\\bases/shop/orders/backup-20261121120000-0123abcd.sql.gz"
    assert drive.path(NAME) == where
    assert google.drives.paths()[where] == data
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert stored.checksums == {"sha256": hashlib.sha256(data).hexdigest(), "md5": md5}
    assert google.drives.files[stored.ref].properties == {"source": "größe"}


def test_a_name_elsewhere_in_the_account_is_nobody_elses(google: Google, tmp_path: Path, drive: GoogleDrive) -> None:
    top = google_drive(google, tmp_path, folder="back ups", label="above")
    deep = google_drive(google, tmp_path, folder="x/back ups/da'ta\\bases", label="below")
    refs = {each.label: put(each, NAME, each.label.encode()).ref for each in (top, deep, drive)}
    assert len(set(refs.values())) == 3
    assert list(drive.list()) == [refs["my drive"]]
    drive.delete(str(drive.find(NAME)))
    assert drive.find(NAME) is None
    assert content(top, refs["above"]) == b"above"
    assert content(deep, refs["below"]) == b"below"


def test_what_another_program_made_there_is_not_seen(google: Google, tmp_path: Path, drive: GoogleDrive) -> None:
    foreign = google_drive(google, tmp_path, **google.user_files(tmp_path, client="client-2"))
    theirs = put(foreign, NAME, b"theirs").ref
    ours = put(drive, NAME, b"ours").ref
    assert list(drive.list()) == [ours]
    with pytest.raises(ObjectNotFound, match=f"there is no file {theirs} in Google Drive"):
        drive.stat(theirs)


def test_folders_of_one_name_are_all_looked_into(google: Google, drive: GoogleDrive) -> None:
    first = put(drive, "shop/a", b"1").ref
    shop = google.drives.files[google.drives.files[first].parent]
    [caller] = google.callers.values()
    about = {"name": "shop", "mimeType": shop.mime, "parents": [shop.parent]}
    twin = google.drives.create(about, caller, all_drives=False)
    inner = google.drives.create({"name": "b", "parents": [twin.id]}, caller, all_drives=False).id
    assert drive.find("shop/b") == inner
    assert sorted(drive.list("shop/")) == sorted([first, inner])
    assert google.drives.files[put(drive, "shop/c", b"3").ref].parent == shop.id, "the oldest is written to"


def test_lists_of_many_pages(google: Google, drive: GoogleDrive) -> None:
    google.drives.page_size = 2
    refs = {put(drive, f"shop/{number}", b"").ref for number in range(5)}
    assert len(refs) == 5
    assert set(drive.list()) == refs
    assert drive.find("shop/4") in refs


def test_what_is_in_the_trash_is_not_there(google: Google, drive: GoogleDrive) -> None:
    ref = put(drive, NAME, b"body").ref
    google.drives.files[ref].trashed = True
    assert drive.find(NAME) is None
    assert list(drive.list()) == []
    with pytest.raises(ObjectNotFound, match="is in the trash of Google Drive"):
        drive.open(ref)
    drive.delete(ref)
    assert ref not in google.drives.files


def test_who_may_not_delete_in_a_shared_drive_uses_its_trash(google: Google, tmp_path: Path) -> None:
    drive = shared_drive(google, tmp_path, "0Ashared")
    google.drives.may_delete = False
    ref = put(drive, NAME, b"body").ref
    drive.delete(ref)
    assert google.drives.files[ref].trashed
    assert drive.find(NAME) is None
    drive.delete(ref)
    assert content(drive, put(drive, NAME, b"again").ref) == b"again"


def test_who_may_not_delete_elsewhere_is_told(google: Google, drive: GoogleDrive) -> None:
    ref = put(drive, NAME, b"body").ref
    google.drives.may_delete = False
    with pytest.raises(DriveError, match="the account may not do that with file"):
        drive.delete(ref)


def test_a_shared_drive_that_is_not_there_makes_no_object_look_lost(google: Google, tmp_path: Path) -> None:
    drive = shared_drive(google, tmp_path, "0Ashared")
    google.drives.shared.clear()
    for call in (lambda: drive.find(NAME), lambda: list(drive.list()), drive.check, lambda: put(drive, NAME, b"")):
        with pytest.raises(DriveError, match="there is no shared drive 0Ashared in Google Drive") as raised:
            call()
        assert not isinstance(raised.value, ObjectNotFound)
        assert raised.value.permanent


def test_reading_starts_anywhere(google: Google, drive: GoogleDrive) -> None:
    data = os.urandom(1000)
    ref = put(drive, NAME, data).ref
    with drive.open(ref) as stream:
        assert stream.seek(-10, io.SEEK_END) == 990
        assert stream.read() == data[990:]
        stream.seek(500)
        assert stream.read(20) == data[500:520]
        assert stream.seek(5000) == 5000
        assert stream.read() == b""


def test_check_makes_no_folder(google: Google, drive: GoogleDrive) -> None:
    drive.check()
    assert google.drives.files == {}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "odd chunk": ({"chunk_size": "300KiB"}, "should be a multiple of 256KiB"),
    "small chunk": ({"chunk_size": "128KiB"}, "greater than or equal to"),
    "no folder": ({"folder": " / "}, "should be the name of a folder"),
    "no url": ({"endpoint": "www.googleapis.com"}, "should be a URL"),
    "half an account": ({"token_file": None}, "client_secret_file and token_file, or service_account_file alone"),
    "no account": ({"token_file": None, "client_secret_file": None}, "or service_account_file alone"),
    "two accounts": ({"service_account_file": "key.json"}, "or service_account_file alone"),
}


@pytest.mark.parametrize("what", WRONG)
def test_settings_that_make_no_sense_are_refused(drive: GoogleDrive, what: str) -> None:
    change, sentence = WRONG[what]
    settings = {key: value for key, value in (drive.revealed() | change).items() if value is not None}
    with pytest.raises(ValidationError, match=sentence):
        GoogleDrive.model_validate(settings)


def test_a_service_account_without_a_shared_drive_is_warned_of(google: Google, tmp_path: Path) -> None:
    [warning] = shared_drive(google, tmp_path, None).warnings()
    assert "a service account has no storage of its own: set shared_drive_id" in warning
    assert shared_drive(google, tmp_path, "0A").warnings() == []


def test_the_libraries_are_imported_when_they_are_used() -> None:
    program = (
        "import sys; from backupman.drives.google_drive import GoogleDrive; "
        "GoogleDrive(provider='google_drive', label='l', folder='f', service_account_file='k'); "
        "sys.exit(bool({'googleapiclient', 'google.auth', 'httplib2', 'requests'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
