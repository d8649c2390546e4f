"""What the errors of Azure Blob Storage and of its SDK mean to the user: two tables, and the door for all calls.

The codes are those of https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from backupman.drives import _door as door
from backupman.drives._door import Meaning
from backupman.errors import DriveError, ObjectNotFound, Retained
from backupman.retry import RetryPolicy


class NameTaken(DriveError):
    """There is a blob of that name already."""


class Forbidden(DriveError):
    """The credentials may not do that."""


class ConditionFailed(DriveError):
    """The blob is not the one that a call was about, or not there."""


_BUSY = Meaning("{endpoint} cannot answer now ({said})", permanent=False)
_CHANGED = Meaning("what was sent to {endpoint} arrived changed ({said})", permanent=False)
_TAKEN = Meaning("{object} is already there, and nothing was overwritten", kind=NameTaken)
_NO_CONTAINER = Meaning("there is no container {container} at {endpoint}: make it, or correct container and account")
_NO_BLOB = Meaning("there is no {object} in container {container}", kind=ObjectNotFound)
_CREDENTIALS = Meaning(
    "{endpoint} does not accept the credentials: correct account_key, sas_token or connection_string; a SAS may have "
    "expired, and this machine's clock may be wrong ({said})"
)
_FORBIDDEN = Meaning(
    "the credentials may not do that in container {container}: give them the right to create blobs, for the retention "
    "to delete, for restores to read and to list ({said})",
    kind=Forbidden,
)

_CODES: Mapping[str, Meaning] = {
    "ContainerNotFound": _NO_CONTAINER,
    "ContainerBeingDeleted": _NO_CONTAINER,
    "ContainerDisabled": _NO_CONTAINER,
    "InvalidResourceName": _NO_CONTAINER,
    "BlobNotFound": _NO_BLOB,
    "ResourceNotFound": _NO_BLOB,
    "BlobAlreadyExists": _TAKEN,
    "UnauthorizedBlobOverwrite": _TAKEN,
    "ConditionNotMet": Meaning("{object} is not what it was ({said})", kind=ConditionFailed),
    "TargetConditionNotMet": Meaning("{object} is not what it was ({said})", kind=ConditionFailed),
    "BlobImmutableDueToPolicy": Meaning("{object} is locked by a retention policy of the container", kind=Retained),
    "BlobImmutableDueToLegalHold": Meaning("{object} is locked by a legal hold", kind=Retained),
    "BlobArchived": Meaning("{object} is in the archive tier: change its tier to hot first, then read it"),
    "BlobBeingRehydrated": Meaning("{object} is on its way out of the archive tier, which takes hours"),
    "AuthenticationFailed": _CREDENTIALS,
    "InvalidAuthenticationInfo": _CREDENTIALS,
    "NoAuthenticationInformation": _CREDENTIALS,
    "AuthorizationPermissionMismatch": _FORBIDDEN,
    "AuthorizationFailure": _FORBIDDEN,
    "AuthorizationServiceMismatch": _FORBIDDEN,
    "AuthorizationResourceTypeMismatch": _FORBIDDEN,
    "InsufficientAccountPermissions": _FORBIDDEN,
    "KeyBasedAuthenticationNotPermitted": Meaning(
        "the account takes no account_key: leave it out, and give this machine an identity ({said})"
    ),
    "AccountIsDisabled": Meaning("the storage account is disabled ({said})"),
    "Md5Mismatch": _CHANGED,
    "Crc64Mismatch": _CHANGED,
    "InvalidBlockList": Meaning("Azure has dropped blocks of {object}: the upload has to begin anew", permanent=False),
    "ServerBusy": _BUSY,
    "OperationTimedOut": _BUSY,
    "InternalError": _BUSY,
}

_STATUSES: Mapping[int, Meaning] = {401: _CREDENTIALS, 403: _FORBIDDEN, 404: _NO_BLOB, 408: _BUSY, 429: _BUSY}

_EXCEPTIONS: Mapping[str, Meaning] = {
    "CredentialUnavailableError": Meaning(
        "there are no credentials: set account_key, sas_token or connection_string, or give this machine an identity"
    ),
    "AzureSigningError": Meaning("account_key cannot be read: copy it anew from the portal"),
    "ClientAuthenticationError": Meaning("Microsoft Entra gives no token: look at the machine's identity ({said})"),
    "ServiceRequestError": Meaning(
        "{endpoint} cannot be reached: look at account, endpoint and the network ({said})", permanent=False
    ),
    "AzureError": Meaning("the connection to {endpoint} broke ({said})", permanent=False),
    "OSError": Meaning("the connection to {endpoint} broke ({said})", permanent=False),
}
"""By the name of the exception's class or of its nearest base."""

_TLS = Meaning("no TLS with {endpoint}: for a private certificate set ca_file ({said})", permanent=False)


class Door(door.Door):
    """The door of Azure's SDK. `place` is what sentences may name: label, container and endpoint."""

    chained = False  # its text may hold an address with a SAS

    def __init__(self, place: Mapping[str, str], retry: RetryPolicy, redact: Callable[[str], str]) -> None:
        super().__init__(place, retry)
        self._redact = redact

    def _explain(self, error: Exception, of: str) -> DriveError | None:
        response: Any = getattr(error, "response", None)
        status = int(getattr(response, "status_code", None) or 0)
        code = str(getattr(getattr(error, "error_code", None), "value", getattr(error, "error_code", None)) or "")
        wait = None
        if status and status >= 300:
            after = str(response.headers.get("retry-after", ""))
            wait = float(after) if after.isdigit() else None
            meaning, said = _of_answer(status, code), f"{status} {code or getattr(error, 'reason', '')}"
        else:
            names = [base.__name__ for base in type(error).__mro__]
            found = next((_EXCEPTIONS[name] for name in names if name in _EXCEPTIONS), None)
            if found is None:
                return None
            said = _clean(str(error))
            meaning = _TLS if "SSL" in said else found
        sentence = meaning.sentence.format(**self._place, object=of, said=said.strip().rstrip("."))
        return meaning.kind(f"{self.label}: {self._redact(sentence)}", permanent=meaning.permanent, retry_after=wait)


def _of_answer(status: int, code: str) -> Meaning:
    if code in _CODES:
        return _CODES[code]
    if status in _STATUSES:
        return _STATUSES[status]
    return _BUSY if status >= 500 else Meaning("{endpoint} refused the call ({said})")


def _clean(text: str) -> str:
    """One short line without addresses, which may hold a SAS."""
    return " ".join(re.sub(r"\S+://\S+|\S*\?\S*|url: \S+", "…", text).split())[:300]
