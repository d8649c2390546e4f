"""Uploads whose object is stored, and of which the drive's answer never came."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from backupman.data_plane.messages import Uploaded, UploadFailed
from backupman.errors import DriveError
from backupman.pipeline.spool import Spool
from backupman.retry import RetryPolicy
from tests.data_plane.test_uploading import spool, uploads, watched

__all__ = ["spool"]


@pytest.mark.parametrize(("there", "sort"), [(b"the dump", Uploaded), (b"another.", UploadFailed)])
def test_an_upload_of_which_only_the_answer_got_lost_is_not_taken_for_anothers(
    spool: Spool, tmp_path: Path, there: bytes, sort: type[BaseModel]
) -> None:
    [drive] = watched(tmp_path, 1)

    def lost(label: str) -> None:
        drive._objects["shop/dump"] = there
        drive._end = lambda label: None
        raise DriveError(f"{label}: no answer came")

    drive._end = lost
    running, told = uploads([drive], spool, retry=RetryPolicy(attempts=2, first_wait=0.001))
    running.start()
    spool.write(b"the dump")
    spool.commit()
    running.may_complete({})
    running.wait()
    [ended] = [message for message in told if isinstance(message, Uploaded | UploadFailed)]
    assert (type(ended), ended.attempts) == (sort, 2)
    assert drive._objects["shop/dump"] == there
