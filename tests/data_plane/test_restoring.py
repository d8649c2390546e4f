"""A stored dump written to a file or a pipe: whole and on the disk, or refused."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import pytest
from pydantic import BaseModel

from backupman.data_plane import restoring
from backupman.data_plane.messages import CopyFailed
from backupman.data_plane.tasks import RestoreTask
from backupman.errors import RestoreError
from tests.data_plane.test_filling import DUMP, PACKED, flipped
from tests.data_plane.test_filling import task as filled
from tests.flushes import flushes


def task(folder: Path, stored: Sequence[bytes | None]) -> RestoreTask:
    whole = filled(folder, stored)
    return RestoreTask(**{name: getattr(whole, name) for name in RestoreTask.model_fields if name != "kind"})


@pytest.mark.parametrize("before", [b"", b"what stood there already, "])
def test_a_file_begins_anew_with_the_next_copy_and_is_on_the_disk_at_the_end(tmp_path: Path, before: bytes) -> None:
    said: list[BaseModel] = []
    file = tmp_path / "dump"
    with file.open("wb") as to, flushes(file) as found:
        os.write(to.fileno(), before)
        restoring.restore(task(tmp_path, [flipped(0.9), None, PACKED]), to.fileno(), said.append)
        assert os.lseek(to.fileno(), 0, os.SEEK_CUR) == len(before + DUMP)
    assert file.read_bytes() == before + DUMP
    assert [message.label for message in said if isinstance(message, CopyFailed)] == ["Disk0", "Disk1"]
    assert found == [(file, True)]


def test_a_pipe_takes_no_other_copy_once_it_was_given_some(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    taken: list[bytes] = []
    with os.fdopen(ours, "rb") as reader, os.fdopen(theirs, "wb") as writer:
        thread = Thread(target=lambda: taken.append(reader.read()))
        thread.start()
        with pytest.raises(RestoreError, match=r"^App: Disk1: .*; \d+ bytes had been written by then: they are not a"):
            restoring.restore(task(tmp_path, [None, flipped(0.9), PACKED]), writer.fileno(), lambda message: None)
        writer.close()
        thread.join(60)
    assert 0 < len(taken[0]) <= len(DUMP) and taken[0] != DUMP
