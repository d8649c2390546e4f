"""The credentials of Google Drive: renewed in their file, and mended by a command that the error names."""

import errno
import json
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest

from backupman.drives.google_drive import GoogleDrive
from backupman.errors import DriveError
from tests.calls import must_be_a_call
from tests.contracts.objects import NAME, content, put
from tests.drives._google import google_drive, shared_drive
from tests.servers._process import free_port
from tests.servers.google_drive import Google


@pytest.fixture
def drive(google: Google, tmp_path: Path) -> GoogleDrive:
    return google_drive(google, tmp_path)


def token_of(drive: GoogleDrive) -> Any:
    assert drive.token_file
    return json.loads(drive.token_file.read_text())


def again(drive: GoogleDrive) -> GoogleDrive:
    """The same drive in another process."""
    return GoogleDrive.model_validate(drive.revealed())


def test_a_renewed_token_is_kept_for_the_next_process(google: Google, drive: GoogleDrive) -> None:
    assert drive.token_file
    drive.token_file.chmod(0o644)
    before = {path.name for path in drive.token_file.parent.iterdir()}
    assert list(drive.list()) == []
    assert token_of(drive)["token"] in google.callers
    assert stat.S_IMODE(drive.token_file.stat().st_mode) == 0o600
    assert {path.name for path in drive.token_file.parent.iterdir()} == before
    assert list(again(drive).list()) == []
    assert google.asked.count("POST /token") == 1


def test_an_access_token_may_end_at_any_time(google: Google, drive: GoogleDrive) -> None:
    ref = put(drive, NAME, b"body").ref
    google.forget_access()
    assert content(drive, ref) == b"body"


def test_a_link_to_the_token_stays_a_link(google: Google, drive: GoogleDrive, tmp_path: Path) -> None:
    assert drive.token_file
    link = tmp_path / "link.json"
    link.symlink_to(drive.token_file)
    assert list(GoogleDrive.model_validate(drive.revealed() | {"token_file": str(link)}).list()) == []
    assert link.is_symlink()
    assert token_of(drive)["token"] in google.callers


def test_a_refresh_token_that_changes_is_kept(google: Google, drive: GoogleDrive) -> None:
    google.rotates = True
    before = token_of(drive)["refresh_token"]
    for _ in range(2):
        google.forget_access()
        assert list(again(drive).list()) == []
    assert token_of(drive)["refresh_token"] == f"{before}++"


@pytest.mark.parametrize("rotates", [False, True])
def test_a_token_that_cannot_be_kept(
    google: Google,
    drive: GoogleDrive,
    rotates: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    google.rotates = rotates
    monkeypatch.setattr("backupman.drives._google_credentials.tempfile.mkstemp", full)
    sentence = f"my drive: token_file {drive.token_file} cannot be written: Read-only file system"
    if rotates:
        with pytest.raises(DriveError) as raised:
            drive.find(NAME)
        assert raised.value.sentence.startswith(sentence)
    else:
        assert drive.find(NAME) is None
        assert sentence in caplog.text


def test_a_consent_that_was_taken_back_names_the_command_that_mends_it(google: Google, drive: GoogleDrive) -> None:
    google.revoke()
    with pytest.raises(DriveError) as raised:
        drive.check()
    command = f"backupman auth-google --client-secret-file {drive.client_secret_file} --token-file {drive.token_file}"
    assert raised.value.sentence == f"my drive: Google does not accept the token any more: run `{command}`"
    assert raised.value.permanent
    must_be_a_call(shlex.split(command)[1:])


def test_the_token_of_the_original_program_works(google: Google, drive: GoogleDrive) -> None:
    assert drive.token_file
    old = {"access_token": "ya29.old", "token_type": "Bearer", "expiry": "2025-07-02T10:00:00.123456789+02:00"}
    drive.token_file.write_text(json.dumps(old | {"refresh_token": token_of(drive)["refresh_token"]}))
    assert list(drive.list()) == []


BROKEN = {
    "client_secret_file": "make an OAuth client of the type Desktop app",
    "token_file": "run `backupman auth-google --client-secret-file ",
    "service_account_file": "make a key (JSON) for the service account",
}
CONTENTS = {"missing": None, "empty": "", "no json": "{", "a list": "[]", "nothing in it": "{}"}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("setting", BROKEN)
def test_a_file_that_is_not_what_it_should_be(google: Google, tmp_path: Path, setting: str, content: str) -> None:
    drive = shared_drive(google, tmp_path, "0A") if "service" in setting else google_drive(google, tmp_path)
    file: Path = getattr(drive, setting)
    text = CONTENTS[content]
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(DriveError) as raised:
        drive.find(NAME)
    assert raised.value.sentence.startswith(f"{drive.label}: ")
    assert f"{setting} {file}" in raised.value.sentence
    assert BROKEN[setting] in raised.value.sentence
    assert raised.value.permanent


def test_a_key_that_is_damaged_is_not_shown(google: Google, tmp_path: Path) -> None:
    drive = shared_drive(google, tmp_path, "0A")
    assert drive.service_account_file
    about = json.loads(drive.service_account_file.read_text())
    about["private_key"] = about["private_key"].replace("A", "!", 3)
    drive.service_account_file.write_text(json.dumps(about))
    with pytest.raises(DriveError, match="is no key of a service account") as raised:
        drive.find(NAME)
    assert about["private_key"][40:60] not in str(raised.value)
    assert raised.value.__cause__ is None


def test_where_tokens_are_had_may_be_out_of_reach(google: Google, drive: GoogleDrive) -> None:
    assert drive.client_secret_file
    about = json.loads(drive.client_secret_file.read_text())
    about["installed"]["token_uri"] = f"http://127.0.0.1:{free_port()}/token"
    drive.client_secret_file.write_text(json.dumps(about))
    with pytest.raises(DriveError, match=r"^my drive: .* cannot be reached") as raised:
        drive.find(NAME)
    assert not raised.value.permanent
