"""Google Cloud Storage against a server that speaks its JSON API: the contract, its settings, what arrives."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from pydantic import ValidationError

from backupman.drives import Drive, Stat
from backupman.drives.google_cloud_storage import GoogleCloudStorage
from backupman.errors import DriveError, ObjectNotFound, Retained
from tests.contracts.drive import Leftovers, ReachedContract
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._gcs import CHUNK, gcs_drive, gcs_of
from tests.servers._process import free_port
from tests.servers.gcs import Storage


class TestGoogleCloudStorage(ReachedContract):
    part_size = CHUNK

    @pytest.fixture
    def drive(self, gcs: Storage, tmp_path: Path) -> Drive:
        return gcs_drive(gcs, tmp_path, gcs.make_bucket())

    @pytest.fixture
    def other(self, gcs: Storage, tmp_path: Path) -> Drive:
        return gcs_drive(gcs, tmp_path, gcs.make_bucket(), label="another bucket")

    @pytest.fixture
    def unreachable(self, gcs: Storage, tmp_path: Path) -> Drive:
        return gcs_drive(gcs, tmp_path, "bucket", endpoint=f"http://127.0.0.1:{free_port()}")

    @pytest.fixture
    def leftovers(self, gcs: Storage) -> Leftovers:
        return gcs.open_sessions


@pytest.fixture
def drive(gcs: Storage, tmp_path: Path) -> GoogleCloudStorage:
    return gcs_drive(gcs, tmp_path, gcs.make_bucket())


def test_what_is_stored_is_told_and_carries_its_settings(gcs: Storage, drive: GoogleCloudStorage) -> None:
    drive = gcs_of(drive, storage_class="NEARLINE")
    data = os.urandom(2 * CHUNK + 1)
    stored = drive.upload(io.BytesIO(data), NAME, {"source": "größe", "too long": "x" * 8000})
    assert gcs.objects(drive.bucket) == {f"back ups/{NAME}": data}
    assert stored.checksums == {"md5": hashlib.md5(data, usedforsecurity=False).hexdigest()}
    assert drive.stat(stored.ref) == Stat(len(data), stored.checksums)
    about = gcs.storage.bucket(drive.bucket)[stored.ref].about
    assert about["storageClass"] == "NEARLINE"
    assert about["metadata"].keys() == {"source", "backupman-upload"}
    assert about["metadata"]["source"] == "größe"


def test_the_key_of_kms_is_asked_for(gcs: Storage, drive: GoogleCloudStorage) -> None:
    asked: list[dict[str, str]] = []
    store = gcs.storage.store

    def storing(bucket: str, about: dict[str, Any], content: bytes, query: dict[str, str]) -> Any:
        asked.append(query)
        return store(bucket, about, content, query)

    gcs.storage.store = storing  # type: ignore[method-assign]  # the server of the tests
    put(gcs_of(drive, kms_key="projects/p/locations/eu/keyRings/r/cryptoKeys/k"), NAME, b"body")
    assert asked[0]["kmsKeyName"] == "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
    assert asked[0]["ifGenerationMatch"] == "0"


def test_who_may_only_create_can_back_up(gcs: Storage, drive: GoogleCloudStorage) -> None:
    gcs.storage.rights = {"create"}
    drive.check()
    data = os.urandom(2 * CHUNK)
    ref = put(drive, NAME, data).ref
    assert gcs.objects(drive.bucket)[ref] == data
    with pytest.raises(DriveError, match="already there, and nothing was overwritten"):
        put(drive, NAME, b"other")
    for call in (lambda: drive.open(ref), lambda: drive.delete(ref), lambda: list(drive.list())):
        with pytest.raises(DriveError, match=r"^a bucket: the account may not do that in bucket") as raised:
            call()
        assert raised.value.permanent
    with pytest.raises(Retained):
        gcs_of(drive, delete="never").delete(ref)
    gcs.storage.rights = set()
    with pytest.raises(DriveError, match=r"give it storage\.objects\.create"):
        drive.check()


def test_a_name_that_another_took_meanwhile_is_not_ours(gcs: Storage, drive: GoogleCloudStorage) -> None:
    class Late(Reader):
        def read(self, size: int = -1) -> bytes:
            if len(self.asked) == 2:
                gcs.storage.store(drive.bucket, {"name": drive.path(NAME)}, b"theirs", {})
            return super().read(size)

    with pytest.raises(DriveError, match="already there, and nothing was overwritten") as raised:
        put(drive, NAME, cast(BinaryIO, Late(os.urandom(CHUNK + 1))))
    assert raised.value.permanent
    assert gcs.objects(drive.bucket) == {drive.path(NAME): b"theirs"}
    assert gcs.open_sessions() == []


@pytest.mark.parametrize("reason", ["retentionPolicyNotMet", "objectUnderActiveHold"])
def test_what_google_keeps_is_retained(gcs: Storage, drive: GoogleCloudStorage, reason: str) -> None:
    ref = put(drive, NAME, b"body").ref
    gcs.storage.locked[ref] = reason
    with pytest.raises(Retained, match=rf"^a bucket: {ref} is locked: 403 "):
        drive.delete(ref)
    gcs.storage.locked.clear()
    drive.delete(ref)
    assert drive.find(NAME) is None


def test_with_delete_never_nothing_is_removed(gcs: Storage, drive: GoogleCloudStorage) -> None:
    drive = gcs_of(drive, delete="never")
    ref = put(drive, NAME, b"body").ref
    with pytest.raises(Retained, match="is left to the bucket's lifecycle rules"):
        drive.delete(ref)
    assert content(drive, ref) == b"body"
    drive.delete("back ups/gone")


def test_a_bucket_that_is_not_there_makes_no_object_look_lost(gcs: Storage, tmp_path: Path) -> None:
    drive = gcs_drive(gcs, tmp_path, "nowhere")
    for call in (lambda: drive.find(NAME), lambda: list(drive.list()), drive.check, lambda: put(drive, NAME, b"")):
        with pytest.raises(DriveError, match="there is no bucket nowhere") as raised:
            call()
        assert not isinstance(raised.value, ObjectNotFound)
        assert raised.value.permanent


def test_reading_starts_anywhere(drive: GoogleCloudStorage) -> None:
    data = os.urandom(1000)
    with drive.open(put(drive, NAME, data).ref) as stream:
        assert stream.seek(-10, io.SEEK_END) == 990
        assert stream.read() == data[990:]
        stream.seek(500)
        assert stream.read(20) == data[500:520]


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(gcs: Storage, drive: GoogleCloudStorage) -> None:
    ref = put(drive, NAME, b"before").ref
    with drive.open(ref) as stream:
        gcs.storage.store(drive.bucket, {"name": ref}, b"behind", {})
        with pytest.raises(DriveError, match="was replaced while it was read"):
            stream.read()


def test_lists_of_many_pages(gcs: Storage, drive: GoogleCloudStorage) -> None:
    gcs.storage.page_size = 2
    refs = [put(drive, f"shop/{number}", b"").ref for number in range(5)]
    assert list(drive.list()) == refs


def test_two_prefixes_of_one_bucket_stay_apart(gcs: Storage, tmp_path: Path) -> None:
    bucket = gcs.make_bucket()
    one, two, whole = (gcs_drive(gcs, tmp_path, bucket, prefix=prefix) for prefix in ("shop", "shop2", None))
    refs = [put(drive, NAME, b"body").ref for drive in (one, two)]
    assert refs == [f"shop/{NAME}", f"shop2/{NAME}"]
    assert [list(drive.list()) for drive in (one, two, whole)] == [[refs[0]], [refs[1]], refs]


def test_the_credentials_of_the_environment_are_found(
    gcs: Storage, drive: GoogleCloudStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_environment = gcs_of(drive, service_account_file=None)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", gcs.service_file(tmp_path))
    assert content(by_environment, put(by_environment, NAME, b"body").ref) == b"body"


def test_without_credentials_it_is_said_what_to_do(
    drive: GoogleCloudStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(DriveError, match=r"^a bucket: there are no credentials: set service_account_file") as raised:
        gcs_of(drive, service_account_file=None).check()
    assert raised.value.permanent


def test_a_key_that_google_does_not_know_any_more(gcs: Storage, drive: GoogleCloudStorage) -> None:
    assert drive.service_account_file
    about = json.loads(drive.service_account_file.read_text())
    drive.service_account_file.write_text(json.dumps(about | {"token_uri": f"{gcs.endpoint}/gone"}))
    with pytest.raises(DriveError, match=r"^a bucket: ") as raised:
        drive.check()
    assert about["private_key"][40:60] not in str(raised.value)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "odd chunk": ({"chunk_size": "300KiB"}, "multiple of"),
    "no url": ({"endpoint": "storage.googleapis.com"}, "should be a URL"),
    "no bucket": ({"bucket": "b"}, "at least 3 characters"),
}


@pytest.mark.parametrize("what", WRONG)
def test_settings_that_make_no_sense_are_refused(drive: GoogleCloudStorage, what: str) -> None:
    change, sentence = WRONG[what]
    with pytest.raises(ValidationError, match=sentence):
        gcs_of(drive, **change)


def test_the_libraries_are_imported_when_they_are_used() -> None:
    program = (
        "import sys; from backupman.drives.google_cloud_storage import GoogleCloudStorage; "
        "GoogleCloudStorage(provider='google_cloud_storage', label='l', bucket='bucket'); "
        "sys.exit(bool({'googleapiclient', 'google.auth', 'httplib2', 'requests'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
