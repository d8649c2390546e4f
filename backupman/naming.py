"""The names of objects, spools and locks: safe on every drive, never two alike."""

import re
from datetime import UTC, datetime
from hashlib import sha256

_OBJECT = re.compile(r"(^|/)backup-[0-9]{14}-[0-9a-f]{8}[^/]*$")
"""How `object_name` calls objects."""

_FOLDER = re.compile(r"[a-z0-9_][a-z0-9._-]*")
"""How `slug` calls folders."""

MOST_FOLDERS = 2
"""How many folders `object_name` puts an object into, at the most."""

LATEST = "latest"
"""What people write for the newest, instead of its id."""

RESTORE_TXT = "RESTORE.txt"
"""What stands beside the objects of a source: how to bring them back without Backupman."""


def slug(text: str) -> str:
    """The text as a folder name of at most 87 bytes: lower case, `[a-z0-9._-]`, no dot or hyphen at its ends.

    A hash is added when more than case and spaces was lost: two texts that share a name differ in nothing else.
    """
    safe = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.")[:80]
    if safe and safe == re.sub(r"\s+", "-", text.lower()):
        return safe
    mark = sha256(text.encode(errors="replace")).hexdigest()[:6]
    return f"{safe}-{mark}".strip("-")


def object_name(source: str, database: str | None, backup_id: str, time: datetime, suffix: str) -> str:
    """`<source>[/<database>]/backup-<YYYYMMDDHHMMSS>-<first 8 of the id><suffix>`, the time in UTC."""
    folders = [slug(source)] + ([slug(database)] if database is not None else [])
    return f"{'/'.join(folders)}/backup-{time.astimezone(UTC):%Y%m%d%H%M%S}-{backup_id[:8]}{suffix}"


def is_object(name: str) -> bool:
    """Whether an object is called as ours are, or as the sidecar of one."""
    return bool(_OBJECT.search(name))


def is_folder(name: str) -> bool:
    """Whether a folder is called as ours are: `lost+found` and the dustbins of file systems are not."""
    return bool(_FOLDER.fullmatch(name))


def restore_txt_name(name: str) -> str:
    """The name of RESTORE.txt in the folder of an object's source."""
    return f"{name.split('/', maxsplit=1)[0]}/{RESTORE_TXT}"


def sidecar_name(name: str) -> str:
    """The name of the manifest beside an object."""
    return f"{name}.json"
