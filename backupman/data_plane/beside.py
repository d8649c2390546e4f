"""In the child: what stands once beside all objects of a source, and what is left half-done beside one."""

import io
import logging
from contextlib import suppress
from typing import BinaryIO

from backupman.drives import Drive
from backupman.errors import BackupmanError
from backupman.naming import RESTORE_TXT, restore_txt_name, sidecar_name

log = logging.getLogger(__name__)

_LONGEST = 2**16


def put_restore_txt(drive: Drive, object_name: str, text: str) -> None:
    """Let this text stand in the source's folder, as RESTORE.txt; a drive where that cannot be done goes without.

    One that is there and says the same is left alone. One that cannot be replaced (locked, for example) stays.
    """
    name, data = restore_txt_name(object_name), text.encode()
    try:
        if ref := drive.find(name):
            with drive.open(ref) as there:
                if _beginning(there) == data:
                    return
            drive.delete(ref)
        drive.upload(io.BytesIO(data), name, {})
    except Exception as error:  # noqa: BLE001 - whatever it is, the backup itself is whole
        sentence = error.sentence if isinstance(error, BackupmanError) else f"unexpected {type(error).__name__}"
        log.debug("%s: no %s was written: %s", drive.label, RESTORE_TXT, sentence)


def remove_unfinished(drive: Drive, object_name: str) -> None:
    """Remove what a dead process left of RESTORE.txt and of the sidecar; where that cannot be done, it stays."""
    for name in (restore_txt_name(object_name), sidecar_name(object_name)):
        with suppress(BackupmanError):
            drive.abort(name, None)


def _beginning(there: BinaryIO) -> bytes:
    data = b""
    while len(data) < _LONGEST and (chunk := there.read(_LONGEST - len(data))):
        data += chunk
    return data
