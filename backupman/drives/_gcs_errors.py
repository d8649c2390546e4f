"""What the errors of Google Cloud Storage mean to the user, where they mean something else than Google Drive's.

The reasons are those of https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

from collections.abc import Mapping
from typing import ClassVar

from backupman.drives import _google_errors as google
from backupman.drives._door import Meaning
from backupman.errors import DriveError, ObjectNotFound, Retained


class NameTaken(DriveError):
    """There is an object of that name already, or not the one that a call was about."""


class Forbidden(DriveError):
    """The account may not do that."""


_SLOWER = Meaning("Google asks for fewer requests ({said})", permanent=False)
_BUSY = Meaning("Google cannot answer now ({said})", permanent=False)
_NO_OBJECT = Meaning("there is no {object} in bucket {bucket}", kind=ObjectNotFound)
_NO_BUCKET = Meaning("there is no bucket {bucket}: make it, or correct bucket")
_TAKEN = Meaning("{object} is already there, and nothing was overwritten", kind=NameTaken)
_FORBIDDEN = Meaning(
    "the account may not do that in bucket {bucket}: give it storage.objects.create, for the retention "
    "storage.objects.delete, for restores storage.objects.get and storage.objects.list ({said})",
    kind=Forbidden,
)
_TOKEN = Meaning("Google does not accept the credentials: {mend} ({said})")
_LOCKED = Meaning("{object} is locked: {said}", kind=Retained)


class Door(google.Door):
    """The door of Google Cloud Storage. `place` is what sentences may name: label, endpoint, bucket and mend."""

    thing = "the object"
    reasons: ClassVar[Mapping[str, Meaning]] = {
        "forbidden": _FORBIDDEN,
        "insufficientPermissions": _FORBIDDEN,
        "authError": _TOKEN,
        "conditionNotMet": _TAKEN,
        "retentionPolicyNotMet": _LOCKED,
        "objectUnderActiveHold": _LOCKED,
        "rateLimitExceeded": _SLOWER,
        "userRateLimitExceeded": _SLOWER,
        "accountDisabled": Meaning("the project that pays for the bucket is disabled ({said})"),
        "accessNotConfigured": Meaning(
            "the Cloud Storage API is not enabled for the project: enable it there ({said})"
        ),
        "userProjectMissing": Meaning("bucket {bucket} wants its readers to pay, which is not supported ({said})"),
    }
    statuses: ClassVar[Mapping[int, Meaning]] = {
        401: _TOKEN,
        403: _FORBIDDEN,
        404: _NO_OBJECT,
        408: _BUSY,
        412: _TAKEN,
        429: _SLOWER,
    }

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes, of: str) -> DriveError:
        """The error of an answer that is one; that of a bucket that is not there differs by its words alone."""
        if status == 404 and b"specified bucket does not exist" in body:
            return self._error(_NO_BUCKET, of, "404")
        return super().refusal(status, headers, body, of)
