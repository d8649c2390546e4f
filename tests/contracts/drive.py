"""What every drive promises: a test subclasses `DriveContract`, or `ReachedContract` if something can be in its way.

class TestS3(ReachedContract):
    part_size = 5 * 2**20

    @pytest.fixture
    def drive(self, s3, bucket): ...
    @pytest.fixture
    def other(self, s3): ...  # a second drive of the same provider, elsewhere
    @pytest.fixture
    def unreachable(self, drive): ...  # the same drive where it cannot be had
    @pytest.fixture
    def leftovers(self, s3, drive, other): ...  # what stands there besides whole objects
"""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, ClassVar, cast

import pytest
from pydantic import ValidationError

from backupman.drives import Drive
from backupman.errors import DriveError, DumpError, ObjectNotFound
from backupman.pipeline.spool import Spool
from tests.contracts.objects import BAD_NAMES, NAME, ODD_NAMES, Reader, content, put, threads

Leftovers = Callable[[], list[str]]


class DriveContract:
    """The promises of all drives."""

    part_size: ClassVar[int] = 2**20
    """What the drive sends at once, in the settings of `drive`."""

    @pytest.fixture
    def drive(self) -> Drive:
        """An empty drive."""
        raise NotImplementedError

    @pytest.fixture
    def other(self) -> Drive:
        """An empty drive of the same provider, elsewhere."""
        raise NotImplementedError

    @pytest.fixture
    def leftovers(self) -> Leftovers:
        """Tells what stands on `drive` besides whole objects: unfinished uploads, empty folders."""
        return list

    @pytest.fixture
    def sizes(self) -> dict[str, int]:
        part = self.part_size
        return {"none": 0, "one": 1, "a part": part, "over a part": part + 1, "over three parts": 3 * part + 1}

    def fresh(self, drive: Drive) -> Drive:
        """The same drive in another process: made anew from its settings."""
        return type(drive).model_validate(drive.revealed())

    @pytest.mark.parametrize("size", ["none", "one", "a part", "over a part", "over three parts"])
    def test_what_is_uploaded_comes_back(
        self, drive: Drive, leftovers: Leftovers, sizes: dict[str, int], size: str
    ) -> None:
        data = os.urandom(sizes[size])
        reader = Reader(data)
        stored = put(drive, NAME, cast(BinaryIO, reader))
        assert stored.size == len(data)
        assert content(drive, stored.ref) == data
        assert drive.stat(stored.ref).size == len(data)
        assert list(drive.list()) == [stored.ref]
        assert drive.find(NAME) == stored.ref
        assert leftovers() == []
        assert 0 < min(reader.asked) <= max(reader.asked) <= self.part_size, "it is read in chunks"

    @pytest.mark.parametrize("most", [1000, 70_001])
    def test_a_reader_may_give_less_than_asked_for(self, drive: Drive, most: int) -> None:
        data = os.urandom(self.part_size + 5)
        stored = put(drive, NAME, cast(BinaryIO, Reader(data, most)))
        assert content(drive, stored.ref) == data

    def test_an_object_is_read_in_chunks(self, drive: Drive) -> None:
        data = os.urandom(300_000)
        stored = put(drive, NAME, data)
        with drive.open(stored.ref) as stream:
            chunks = list(iter(lambda: stream.read(1000), b""))
        assert len(chunks) == 300
        assert b"".join(chunks) == data

    @pytest.mark.parametrize("given", ["none", "one", "over a part", "over three parts"])
    @pytest.mark.parametrize("error", [DumpError("the dump failed"), RuntimeError("a fault of ours")])
    def test_a_reader_that_breaks_leaves_nothing(
        self, drive: Drive, leftovers: Leftovers, sizes: dict[str, int], given: str, error: Exception
    ) -> None:
        before = threads()
        with pytest.raises(type(error)) as raised:
            put(drive, NAME, cast(BinaryIO, Reader(os.urandom(sizes[given]), error=error)))
        assert raised.value is error
        assert list(drive.list()) == []
        assert drive.find(NAME) is None
        assert leftovers() == []
        assert threads() == before
        assert content(drive, put(drive, NAME, b"the next try").ref) == b"the next try"

    @pytest.mark.parametrize("size", ["none", "one", "a part", "over three parts"])
    def test_it_follows_a_spool_that_grows(
        self, drive: Drive, tmp_path: Path, sizes: dict[str, int], size: str
    ) -> None:
        data = os.urandom(sizes[size])
        spool = Spool(tmp_path / "spool" / "dump")
        with ThreadPoolExecutor(1) as pool:
            upload = pool.submit(drive.upload, cast(BinaryIO, spool.reader()), NAME, {}, None)
            for start in range(0, len(data), 100_000):
                spool.write(data[start : start + 100_000])
            assert not upload.done()
            assert drive.find(NAME) is None, "nothing is visible before the gate has spoken"
            spool.commit()
            stored = upload.result(60)
        spool.close()
        assert content(drive, stored.ref) == data

    def test_a_spool_that_fails_leaves_nothing(self, drive: Drive, leftovers: Leftovers, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool" / "dump")
        error = DumpError("the tool was killed")
        with ThreadPoolExecutor(1) as pool:
            upload = pool.submit(drive.upload, cast(BinaryIO, spool.reader()), NAME, {}, None)
            spool.write(os.urandom(2 * self.part_size + 1))
            spool.fail(error)
            with pytest.raises(DumpError) as raised:
                upload.result(60)
        spool.close()
        assert raised.value is error
        assert list(drive.list()) == []
        assert leftovers() == []

    @pytest.mark.parametrize("size", ["none", "one", "over a part"])
    def test_the_same_name_twice_overwrites_nothing(
        self, drive: Drive, leftovers: Leftovers, sizes: dict[str, int], size: str
    ) -> None:
        stored = put(drive, NAME, b"first")
        with pytest.raises(DriveError, match=f"^{drive.label}: .*already there, and nothing was overwritten") as raised:
            put(drive, NAME, os.urandom(sizes[size]))
        assert raised.value.permanent
        assert content(drive, stored.ref) == b"first"
        assert leftovers() == []

    def test_of_uploads_under_one_name_one_wins(self, drive: Drive, leftovers: Leftovers) -> None:
        ready = threading.Barrier(4)

        def upload(data: bytes) -> bytes | DriveError:
            ready.wait(10)
            try:
                put(drive, NAME, data)
            except DriveError as error:
                return error
            return data

        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(upload, [bytes([number]) * 1000 for number in range(4)]))
        winners = [result for result in results if isinstance(result, bytes)]
        assert len(winners) == 1
        assert content(drive, str(drive.find(NAME))) == winners[0]
        assert leftovers() == []

    def test_uploads_run_side_by_side(self, drive: Drive, leftovers: Leftovers) -> None:
        objects = {f"shop/db-{number}/dump": os.urandom(self.part_size + number) for number in range(4)}
        with ThreadPoolExecutor(4) as pool:
            stored = list(pool.map(lambda name: put(drive, name, objects[name]), objects))
        assert [content(drive, one.ref) for one in stored] == list(objects.values())
        assert sorted(drive.list()) == sorted(one.ref for one in stored)
        assert leftovers() == []

    def test_a_fresh_drive_knows_an_old_ref(self, drive: Drive) -> None:
        stored = put(drive, NAME, b"body")
        fresh = self.fresh(drive)
        assert content(fresh, stored.ref) == b"body"
        assert fresh.stat(stored.ref).size == 4
        assert fresh.find(NAME) == stored.ref
        fresh.delete(stored.ref)
        assert drive.find(NAME) is None

    def test_the_settings_reach_the_child_whole(self, drive: Drive) -> None:
        assert self.fresh(drive).model_dump() == drive.model_dump()

    def test_a_missing_object_is_told_apart(self, drive: Drive) -> None:
        ref = put(drive, NAME, b"body").ref
        drive.delete(ref)
        with pytest.raises(ObjectNotFound, match=f"^{drive.label}: ") as opened:
            drive.open(ref)
        with pytest.raises(ObjectNotFound, match=f"^{drive.label}: ") as asked:
            drive.stat(ref)
        assert opened.value.permanent
        assert asked.value.permanent

    def test_delete_is_idempotent(self, drive: Drive, leftovers: Leftovers) -> None:
        ref = put(drive, NAME, b"body").ref
        kept = put(drive, f"{NAME}.json", b"{}").ref
        drive.delete(ref)
        drive.delete(ref)
        assert list(drive.list()) == [kept]
        drive.delete(kept)
        assert list(drive.list()) == []
        assert leftovers() == []

    def test_two_drives_stay_apart(self, drive: Drive, other: Drive) -> None:
        ours, theirs = put(drive, NAME, b"ours").ref, put(other, NAME, b"theirs").ref
        only = put(drive, "only/here", b"1").ref
        assert content(drive, ours) == b"ours"
        assert content(other, theirs) == b"theirs"
        assert list(other.list()) == [theirs]
        other.delete(theirs)
        assert sorted(drive.list()) == sorted([ours, only])
        assert content(drive, ours) == b"ours"

    @pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
    def test_odd_names(self, drive: Drive, name: str) -> None:
        stored = put(drive, name, b"body")
        assert content(drive, stored.ref) == b"body"
        assert list(drive.list()) == [stored.ref]
        assert list(drive.list(name)) == [stored.ref]
        assert self.fresh(drive).find(name) == stored.ref
        drive.delete(stored.ref)
        assert list(drive.list()) == []

    @pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
    def test_names_that_no_drive_can_keep_are_refused(self, drive: Drive, leftovers: Leftovers, name: str) -> None:
        reader = Reader(b"body")
        with pytest.raises(DriveError, match=f"^{drive.label}: .*cannot be the name of an object") as raised:
            put(drive, name, cast(BinaryIO, reader))
        assert raised.value.permanent
        assert reader.asked == []
        assert list(drive.list()) == []
        assert leftovers() == []

    def test_list_takes_a_prefix(self, drive: Drive) -> None:
        names = ["shop/a", "shop/b", "shop2/c", "z"]
        refs = {name: put(drive, name, b"").ref for name in names}
        assert sorted(drive.list()) == sorted(refs.values())
        assert sorted(drive.list("shop/")) == sorted([refs["shop/a"], refs["shop/b"]])
        assert sorted(drive.list("shop")) == sorted(refs[name] for name in names[:3])
        assert list(drive.list("nowhere")) == []
        assert sorted((entry.name, entry.ref) for entry in drive.entries("shop")) == sorted(list(refs.items())[:3])

    def test_check_leaves_nothing(self, drive: Drive, leftovers: Leftovers) -> None:
        drive.check()
        assert list(drive.list()) == []
        assert leftovers() == []

    def test_abort_removes_no_object(self, drive: Drive) -> None:
        ref = put(drive, NAME, b"body").ref
        drive.abort(NAME, None)
        assert content(drive, ref) == b"body"

    def test_an_unknown_key_is_refused(self, drive: Drive) -> None:
        with pytest.raises(ValidationError, match="nonsense"):
            type(drive).model_validate(drive.revealed() | {"nonsense": 1})


class ReachedContract(DriveContract):
    """The promises of drives that may be out of reach."""

    @pytest.fixture
    def unreachable(self) -> Drive:
        """The drive where it cannot be had."""
        raise NotImplementedError

    def test_only_drive_errors_escape(self, unreachable: Drive, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        calls: dict[str, Callable[[], object]] = {
            "upload": lambda: put(unreachable, NAME, b"body"),
            "upload parts": lambda: put(unreachable, NAME, bytes(2 * self.part_size)),
            "open": lambda: unreachable.open(NAME),
            "delete": lambda: unreachable.delete(NAME),
            "stat": lambda: unreachable.stat(NAME),
            "list": lambda: list(unreachable.list()),
            "find": lambda: unreachable.find(NAME),
            "check": unreachable.check,
        }
        for call in calls.values():
            with pytest.raises(DriveError, match=f"^{unreachable.label}: ") as raised:
                call()
            assert not isinstance(raised.value, ObjectNotFound)
            assert raised.value.sentence.count("\n") == 0
            for secret in unreachable.secrets():
                assert secret not in str(raised.value)
        for secret in unreachable.secrets():
            assert secret not in caplog.text

    def test_secrets_stay_inside(self, drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        put(drive, NAME, bytes(self.part_size + 1))
        drive.check()
        texts = [repr(drive), str(drive), drive.model_dump_json(), repr(drive.model_dump()), caplog.text]
        for secret in drive.secrets():
            for text in texts:
                assert secret not in text
