"""What the errors of Google Drive and of its client library mean to the user: two tables, and the door for all calls.

The reasons are those of https://developers.google.com/workspace/drive/api/guides/handle-errors. No sentence holds the
address of a call: that of an upload session is all that is needed to write to it.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar

from backupman.drives import _door as door
from backupman.drives._door import Meaning
from backupman.errors import DriveError, ObjectNotFound


class SessionGone(DriveError):
    """The upload session has expired or was cancelled: the upload has to begin anew."""


class IdInUse(DriveError):
    """A file of that id is there: an earlier try made it, whose answer got lost."""


class Forbidden(DriveError):
    """The account may not do that with that file."""


_SLOWER = Meaning("Google asks for fewer requests ({said})", permanent=False)
_BUSY = Meaning("Google cannot answer now ({said})", permanent=False)
_FULL = Meaning(
    "the storage of the account is full: make room there, also in its trash; a service account has none of its own and "
    "needs shared_drive_id ({said})"
)
_TOO_MANY = Meaning("the folder or shared drive holds as many files as Google allows: remove some ({said})")
_NOT_FOUND = Meaning("there is no {object} in Google Drive, or the account may not see it", kind=ObjectNotFound)
_FORBIDDEN = Meaning(
    "the account may not do that with {object}: give it the right to add and remove files there ({said})",
    kind=Forbidden,
)
_SCOPE = Meaning("the token does not allow to store files: {mend}")
_DISABLED = Meaning("the Google Drive API is not enabled for the project of the client: enable it there ({said})")
_TOKEN = Meaning("Google does not accept the token any more: {mend}")
_CLIENT = Meaning("Google does not know the OAuth client any more: make a new one, set it, and {mend}")

_REASONS: Mapping[str, Meaning] = {
    "storageQuotaExceeded": _FULL,
    "teamDriveFileLimitExceeded": _TOO_MANY,
    "numChildrenInNonRootLimitExceeded": _TOO_MANY,
    "activeItemCreationLimitExceeded": _TOO_MANY,
    "rateLimitExceeded": _SLOWER,
    "userRateLimitExceeded": _SLOWER,
    "RATE_LIMIT_EXCEEDED": _SLOWER,
    "sharingRateLimitExceeded": _SLOWER,
    "dailyLimitExceeded": Meaning("the project has used up its requests of today: raise its quota ({said})"),
    "uploadLimitExceeded": Meaning("Google takes no more than 750 GB a day from an account: split it ({said})"),
    "fileUploadTooLarge": Meaning("Google takes no file of that size (5 TB at most)"),
    "notFound": _NOT_FOUND,
    "insufficientFilePermissions": _FORBIDDEN,
    "insufficientParentPermissions": _FORBIDDEN,
    "appNotAuthorizedToFile": Meaning(
        "{object} was not made by this OAuth client, which sees its own files only", kind=Forbidden
    ),
    "cannotDownloadAbusiveFile": Meaning(
        "Google takes {object} for harmful and does not give it out: its owner can, in the browser ({said})"
    ),
    "insufficientPermissions": _SCOPE,
    "insufficientScopes": _SCOPE,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": _SCOPE,
    "accessNotConfigured": _DISABLED,
    "SERVICE_DISABLED": _DISABLED,
    "domainPolicy": Meaning("the administrator of the domain has forbidden that to apps: ask for it ({said})"),
    "authError": _TOKEN,
}

_STATUSES: Mapping[int, Meaning] = {
    401: _TOKEN,
    404: _NOT_FOUND,
    408: _BUSY,
    409: Meaning("{object} was made by an earlier try ({said})", kind=IdInUse),
    429: _SLOWER,
}

_BROKE = Meaning("the connection to Google broke ({said})", permanent=False)
_EXCEPTIONS: Mapping[str, Meaning] = {
    "ServerNotFoundError": Meaning(
        "{endpoint} cannot be found: look at the network and its name service", permanent=False
    ),
    "ConnectionRefusedError": Meaning(
        "{endpoint} cannot be reached: look at the network, and at endpoint if it is set ({said})", permanent=False
    ),
    "SSLError": Meaning(
        "no TLS with {endpoint}: for a private certificate authority set HTTPLIB2_CA_CERTS to its file ({said})",
        permanent=False,
    ),
    "TransportError": _BROKE,
    "HttpLib2Error": _BROKE,
    "HTTPException": _BROKE,
    "OSError": _BROKE,
    "GoogleAuthError": Meaning("the credentials cannot be used ({said}): {mend}"),
}
"""By the name of the exception's class or of its nearest base."""

_CLIENT_FAULTS = ("invalid_client", "unauthorized_client", "deleted_client", "disabled_client")


class Door(door.Door):
    """The door of Google's client library.

    `place` is what sentences may name: label, endpoint, and `mend`, which says how to get fresh credentials.
    """

    chained = False  # its text may hold the address of an upload session
    thing = "the file"
    reasons: ClassVar[Mapping[str, Meaning]] = _REASONS
    statuses: ClassVar[Mapping[int, Meaning]] = _STATUSES

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes, of: str) -> DriveError:
        """The error of an answer that is one."""
        reason, said = _reason(status, body, self.reasons)
        meaning = self.reasons.get(reason) or self.statuses.get(status)
        if meaning is None:
            meaning = _BUSY if status >= 500 else Meaning("Google refused the call ({said})")
        return self._error(meaning, of, said, _seconds(headers.get("retry-after")))

    def _explain(self, error: Exception, of: str) -> DriveError | None:
        if (answer := getattr(error, "resp", None)) is not None:  # googleapiclient's HttpError
            return self.refusal(int(answer.status), answer, getattr(error, "content", b""), of)
        names = [base.__name__ for base in type(error).__mro__]
        if "RefreshError" in names:
            return self._of_refresh(error, of)
        meaning = next((_EXCEPTIONS[name] for name in names if name in _EXCEPTIONS), None)
        return self._error(meaning, of, f"{type(error).__name__}: {error}") if meaning else None

    def _of_refresh(self, error: Exception, of: str) -> DriveError:
        said = str(error.args[0]) if error.args else ""
        if getattr(error, "retryable", False):
            return self._error(_BUSY, of, said)
        return self._error(_CLIENT if said.startswith(_CLIENT_FAULTS) else _TOKEN, of, said)

    def _error(self, meaning: Meaning, of: str, said: str, wait: float | None = None) -> DriveError:
        clean = " ".join(re.sub(r"\S+://\S+", "…", said).split())[:300].rstrip(".")
        sentence = meaning.sentence.format(**self._place, object=of, said=clean)
        return meaning.kind(f"{self.label}: {sentence}", permanent=meaning.permanent, retry_after=wait)


def _reason(status: int, body: bytes, reasons: Mapping[str, Meaning]) -> tuple[str, str]:
    """The reason that the body of an error gives, and its words."""
    try:
        error = json.loads(body)["error"]
        details = [*error.get("errors", []), *error.get("details", [])]
        known = (detail["reason"] for detail in details if detail.get("reason") in reasons)
        return next(known, ""), f"{status} {error.get('message', '')}"
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", str(status)


def _seconds(after: str | None) -> float | None:
    """`Retry-After`, which is a number of seconds or a date."""
    if not after:
        return None
    if after.strip().isdigit():
        return float(after)
    try:
        return max(0.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
