"""Objects on drives for the tests of downloads, and the processes that read them."""

import hashlib
import os
from pathlib import Path

import psutil

from backupman.records import Backup, DriveFile
from tests.api.conftest import Api
from tests.servers._process import RUNNING

MIB = 2**20


def path_of(file: DriveFile) -> Path:
    assert file.path is not None
    return Path(file.path)


def grown(api: Api, backup: Backup, size: int) -> bytes:
    """Make the object on the local drive one of that size, in the records too; its bytes."""
    content = os.urandom(MIB) * (size // MIB) + os.urandom(size % MIB)
    file = backup.drive_files[0]
    path_of(file).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    api.daemon.app.store.backups.change_drive_file(backup.id, file.label, size=size, sha256=digest)
    return content


def children() -> list[psutil.Process]:
    """The data plane's processes of this test."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "forked_children" in " ".join(_cmdline(child)) and child.pid not in RUNNING]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
