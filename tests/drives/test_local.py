"""The local drive: whole files under their own name or nothing, and a sentence for each fault of a disk."""

import errno
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from backupman.drives import Drive
from backupman.drives.local import Local
from backupman.errors import DriveError
from backupman.pipeline.spool import Spool
from tests.contracts.drive import Leftovers, ReachedContract
from tests.contracts.objects import NAME, Reader, content, put
from tests.flushes import flushes


def local(folder: Path, **more: object) -> Local:
    return Local.model_validate({"provider": "local", "label": "a disk", "folder": folder, **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "the folder"
    folder.mkdir()
    return folder


@pytest.fixture
def drive(folder: Path) -> Local:
    return local(folder)


class TestLocal(ReachedContract):
    @pytest.fixture
    def drive(self, folder: Path) -> Drive:
        return local(folder)

    @pytest.fixture
    def other(self, tmp_path: Path) -> Drive:
        (tmp_path / "elsewhere").mkdir()
        return local(tmp_path / "elsewhere", label="another disk")

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> Drive:
        (tmp_path / "file").touch()
        return local(tmp_path / "file" / "folder")

    @pytest.fixture
    def leftovers(self, folder: Path) -> Leftovers:
        def found() -> list[str]:
            unfinished = [str(path) for path in folder.rglob("*") if path.name.endswith(".part")]
            return unfinished + [str(path) for path in folder.rglob("*") if path.is_dir() and not list(path.iterdir())]

        return found


def test_an_object_is_on_the_disk_before_it_has_its_name_and_its_name_thereafter(drive: Local, folder: Path) -> None:
    final = folder / NAME
    with flushes(final) as found:
        put(drive, NAME, b"body")
    assert found[0] == (final.with_name(final.name + ".part"), False)
    assert sorted(found[1:]) == sorted((made, True) for made in final.parents if made.is_relative_to(folder))


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        put(local(tmp_path / "new" / "folder"), NAME, b"body")
    finally:
        os.umask(old)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_an_existing_folder_keeps_its_mode(folder: Path) -> None:
    folder.chmod(0o755)
    put(local(folder), NAME, b"body")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_ref_outlives_a_move_of_the_folder(drive: Local, folder: Path, tmp_path: Path) -> None:
    ref = put(drive, NAME, b"body").ref
    folder.rename(tmp_path / "moved")
    assert content(local(tmp_path / "moved"), ref) == b"body"


def test_path_is_absolute_whatever_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    relative = local(Path("backups"))
    put(relative, NAME, b"body")
    assert relative.path(NAME) == str(tmp_path / "backups" / NAME)
    assert Path(relative.path(NAME)).read_bytes() == b"body"


def test_the_checksum_is_that_of_the_file(drive: Local) -> None:
    stored = put(drive, NAME, b"body")
    printed = subprocess.run(["sha256sum", drive.path(NAME)], check=True, capture_output=True, text=True).stdout
    assert stored.checksums == {"sha256": printed.split()[0].lstrip("\\")}


def test_what_is_unfinished_has_no_name_yet(drive: Local, folder: Path, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool" / "dump")
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(drive.upload, cast(BinaryIO, spool.reader()), NAME, {}, None)
        spool.write(bytes(3 * 2**20))
        part = folder / f"{NAME}.part"
        while not (part.exists() and part.stat().st_size == 3 * 2**20):
            assert not upload.done()
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        assert list(drive.list()) == []
        spool.commit()
        upload.result(30)
    spool.close()
    assert [path.name for path in (folder / NAME).parent.iterdir()] == [Path(NAME).name]


def test_a_file_that_appears_meanwhile_is_not_overwritten(drive: Local, folder: Path) -> None:
    class Meanwhile(Reader):
        def read(self, size: int = -1) -> bytes:
            (folder / NAME).write_bytes(b"another's")
            return super().read(size)

    with pytest.raises(DriveError, match="already there, and nothing was overwritten"):
        put(drive, NAME, cast(BinaryIO, Meanwhile(b"ours")))
    assert [path.name for path in (folder / NAME).parent.iterdir()] == [Path(NAME).name]
    assert (folder / NAME).read_bytes() == b"another's"


@pytest.mark.parametrize("taken", [False, True])
def test_a_disk_without_hard_links(drive: Local, folder: Path, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    if taken:
        put(drive, NAME, b"first")
        with pytest.raises(DriveError, match="already there"):
            put(drive, NAME, b"second")
    else:
        put(drive, NAME, b"first")
    assert (folder / NAME).read_bytes() == b"first"
    assert [path.name for path in (folder / NAME).parent.iterdir()] == [Path(NAME).name]


def test_the_unfinished_upload_of_another_is_left_alone(drive: Local, folder: Path) -> None:
    part = folder / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    with pytest.raises(DriveError, match=r"^a disk: .*\.part is there: another upload of that name is under way"):
        put(drive, NAME, b"body")
    assert part.read_bytes() == b"half"
    drive.abort(NAME, None)
    assert list(folder.iterdir()) == []
    put(drive, NAME, b"body")


def test_abort_removes_exactly_its_own(drive: Local, folder: Path) -> None:
    for name in (NAME, f"{NAME}.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.part").touch()
    drive.abort(NAME, "an id of another drive")
    assert [path.name for path in (folder / NAME).parent.iterdir()] == [f"{Path(NAME).name}.json.part"]


def test_delete_takes_empty_folders_along_and_no_other(drive: Local, folder: Path) -> None:
    refs = [put(drive, name, b"").ref for name in ("a/b/c/one", "a/two")]
    drive.delete(refs[0])
    assert [path.name for path in (folder / "a").iterdir()] == ["two"]
    drive.delete(refs[1])
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_a_failure_takes_only_its_own_folders_along(drive: Local, folder: Path) -> None:
    (folder / "shop").mkdir()
    with pytest.raises(RuntimeError):
        put(drive, NAME, cast(BinaryIO, Reader(b"half", error=RuntimeError())))
    assert [path.name for path in folder.iterdir()] == ["shop"]
    assert list((folder / "shop").iterdir()) == []


def test_check_makes_no_folder_for_good(tmp_path: Path) -> None:
    local(tmp_path / "not" / "there").check()
    assert list(tmp_path.iterdir()) == []


def test_a_ref_cannot_lead_outside(drive: Local, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for use in (drive.open, drive.stat, drive.delete):
        with pytest.raises(DriveError, match="cannot be the name of an object"):
            use("../secret")
    assert (tmp_path / "secret").exists()
