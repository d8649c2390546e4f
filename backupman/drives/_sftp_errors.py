"""What the errors of SSH and SFTP mean to the user: one table by the names of asyncssh's exceptions.

The status codes behind them are those of draft-ietf-secsh-filexfer-02, which OpenSSH speaks; what it has no code for
(a full disk, a name that is taken) it calls "Failure".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from backupman.errors import DriveError


@dataclass(frozen=True)
class _Meaning:
    sentence: str
    permanent: bool = False


_LOST = _Meaning("the connection to {server} broke ({said})")
_DENIED = _Meaning("{user} may not do that in {folder}: give the account the right to, or set another folder", True)
_FULL = _Meaning("the disk of {folder} is full: make room, or let the retention remove more")

_MEANINGS: Mapping[str, _Meaning] = {
    "SFTPPermissionDenied": _DENIED,
    "SFTPWriteProtect": _Meaning("the disk of {folder} is mounted read-only: mount it for writing", True),
    "SFTPNoSpaceOnFilesystem": _FULL,
    "SFTPQuotaExceeded": _Meaning("the quota of {user} is used up: make room, or raise it"),
    "SFTPNoSuchFile": _Meaning("{folder} is not there: mount its disk, make the folder, or correct folder"),
    "SFTPNoSuchPath": _Meaning("{folder} is not there: mount its disk, make the folder, or correct folder"),
    "SFTPNotADirectory": _Meaning("{folder}, or something on the way to it, is a file: set another folder", True),
    "SFTPOpUnsupported": _Meaning("{server} does not know all that is needed ({said})", True),
    "SFTPConnectionLost": _LOST,
    "SFTPNoConnection": _LOST,
    "SFTPError": _Meaning("{server} refused a call in {folder} ({said})"),
    "PermissionDenied": _Meaning("{server} lets {user} not in: correct user, {credentials} ({said})", True),
    "KeyExchangeFailed": _Meaning("{server} and this machine know no common way to encrypt ({said})", True),
    "ChannelOpenError": _Meaning("{server} has no SFTP, or not for {user}: switch it on ({said})", True),
    "ProtocolError": _Meaning("{server} speaks no SSH that can be understood: correct host and port ({said})"),
    "DisconnectError": _LOST,
    "TimeoutError": _Meaning("{server} does not answer: look at host, port and the network ({said})"),
    "gaierror": _Meaning("the name of {server} is not known: correct host, or look at the name resolution ({said})"),
    "ConnectionRefusedError": _Meaning("{server} takes no connection: look at host, port and the server ({said})"),
    "ConnectionError": _LOST,
    "OSError": _Meaning("{server} cannot be reached ({said})"),
    "Error": _LOST,
}
"""By the name of the exception's class or of its nearest base."""


def explain(error: Exception, label: str, place: Mapping[str, str]) -> DriveError | None:
    """The sentence for an error of asyncssh or of the network; None for one that is neither."""
    names = [base.__name__ for base in type(error).__mro__]
    meaning = next((_MEANINGS[name] for name in names if name in _MEANINGS), None)
    if meaning is None:
        return None
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return DriveError(f"{label}: {meaning.sentence.format_map({**place, 'said': said})}", permanent=meaning.permanent)


def full(label: str, place: Mapping[str, str]) -> DriveError:
    """The error of a disk without room."""
    return DriveError(f"{label}: {_FULL.sentence.format_map(place)}")
