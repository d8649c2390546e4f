"""What the errors of S3 and of its SDK mean to the user: two tables, and the door that no SDK error passes.

The codes are those of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

from collections.abc import Callable, Mapping
from typing import Any

from backupman.drives import _door as door
from backupman.drives._door import Meaning
from backupman.errors import DriveError, ObjectNotFound
from backupman.retry import RetryPolicy


class NameTaken(DriveError):
    """There is an object of that name already."""


class UploadGone(DriveError):
    """There is no such multipart upload: it was aborted, or completed before."""


class Forbidden(DriveError):
    """The key may not do that."""


class Unsupported(DriveError):
    """The server does not know something that was asked for."""


_REGION = Meaning("bucket {bucket} is in another region than {region}: set region ({said})")
_EXPIRED = Meaning("the session_token has expired: set a fresh one, with its access_key and secret_key")
_CHANGED = Meaning("what was sent to {endpoint} arrived changed ({said})", permanent=False)
_BUSY = Meaning("{endpoint} cannot answer now ({said})", permanent=False)
_TAKEN = Meaning("{object} is already there, and nothing was overwritten", kind=NameTaken)
_NO_OBJECT = Meaning("there is no {object} in bucket {bucket}", kind=ObjectNotFound)
_FORBIDDEN = Meaning(
    "the key may not do that in bucket {bucket}: give it s3:PutObject, for the retention s3:DeleteObject, for restores "
    "s3:GetObject ({said})",
    kind=Forbidden,
)
_NO_BUCKET = Meaning("there is no bucket {bucket} at {endpoint}: make it, or correct bucket, region and endpoint")

_UNREACHABLE = Meaning("{endpoint} cannot be reached: look at endpoint and at the network ({said})", permanent=False)

_UNSUPPORTED = Meaning(
    "{endpoint} does not know all that was asked for: try `checksum: md5`, or leave out what it names, as tags, sse or "
    "storage_class ({said})",
    kind=Unsupported,
)

_NO_LOCKS = Meaning("bucket {bucket} has no Object Lock: make it anew with one, or leave object_lock out ({said})")

_CODES: Mapping[str, Meaning] = {
    "NoSuchBucket": _NO_BUCKET,
    "InvalidBucketName": _NO_BUCKET,
    "InvalidAccessKeyId": Meaning("{endpoint} does not know the access_key: correct it, or make a new pair of keys"),
    "SignatureDoesNotMatch": Meaning("the secret_key does not belong to the access_key: correct it ({said})"),
    "AccessDenied": _FORBIDDEN,
    "AllAccessDisabled": _FORBIDDEN,
    "403": _FORBIDDEN,
    "ExpiredToken": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": Meaning("the clock of this machine is wrong: set it, for example by NTP ({said})"),
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "NoSuchKey": _NO_OBJECT,
    "NoSuchVersion": _NO_OBJECT,
    "404": _NO_OBJECT,
    "NoSuchUpload": Meaning("the upload of {object} is gone: somebody aborted it", kind=UploadGone),
    "PreconditionFailed": _TAKEN,
    "412": _TAKEN,
    "NotImplemented": _UNSUPPORTED,
    "501": _UNSUPPORTED,
    "InvalidPart": Meaning("{endpoint} refused the parts of {object}: try `equal_parts: true` ({said})"),
    "InvalidObjectState": Meaning("{object} is in an archive class: restore it from there first, then read it"),
    "BadDigest": _CHANGED,
    "XAmzContentSHA256Mismatch": _CHANGED,
    "XAmzContentChecksumMismatch": _CHANGED,
    "IncompleteBody": _CHANGED,
    "SlowDown": Meaning("{endpoint} asks for fewer requests: lower concurrency if that goes on", permanent=False),
    "RequestTimeout": _BUSY,
    "OperationAborted": _BUSY,
    "ConditionalRequestConflict": _BUSY,
}

_EXCEPTIONS: Mapping[str, Meaning] = {
    "SSLError": Meaning("no TLS with {endpoint}: for a private certificate set ca_file ({said})", permanent=False),
    "NoCredentialsError": Meaning(
        "there are no credentials: set access_key and secret_key, or give the machine a role"
    ),
    "PartialCredentialsError": Meaning("the credentials of the environment are incomplete ({said})"),
    "ProfileNotFound": Meaning("the profile that AWS_PROFILE names is not there ({said})"),
    "ParamValidationError": Meaning("the SDK refuses a setting: correct bucket, prefix or storage_class ({said})"),
    "NoRegionError": Meaning("no region is known: set region"),
    "HTTPClientError": _UNREACHABLE,
    "ConnectionError": _UNREACHABLE,
    "BotoCoreError": Meaning("the SDK gave up ({said})", permanent=False),
    "OSError": Meaning("the connection to {endpoint} broke ({said})", permanent=False),
}
"""By the name of the exception's class or of its nearest base."""


class Door(door.Door):
    """The door of S3's SDK. `place` is what sentences may name: label, bucket, endpoint and region."""

    def __init__(self, place: Mapping[str, str], retry: RetryPolicy, redact: Callable[[str], str]) -> None:
        super().__init__(place, retry)
        self._redact = redact

    def _explain(self, error: Exception, of: str) -> DriveError | None:
        response: Mapping[str, Any] = getattr(error, "response", None) or {}
        wait = None
        if isinstance(response, Mapping) and "Error" in response:
            meaning, said = _of_answer(response)
            headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            wait = float(after) if (after := str(headers.get("retry-after", ""))).isdigit() else None
        else:
            names = [base.__name__ for base in type(error).__mro__]
            found = next((_EXCEPTIONS[name] for name in names if name in _EXCEPTIONS), None)
            if found is None:
                return None
            meaning, said = found, str(error)
        sentence = meaning.sentence.format(**self._place, object=of, said=said.strip().rstrip("."))
        return meaning.kind(f"{self.label}: {self._redact(sentence)}", permanent=meaning.permanent, retry_after=wait)


def _of_answer(response: Mapping[str, Any]) -> tuple[Meaning, str]:
    """The meaning of an error that the server answered, and its own words."""
    code = str(response["Error"].get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{code} {response['Error'].get('Message', '')}".strip()
    if code == "InvalidRequest" and "Object Lock" in said:
        return _NO_LOCKS, said
    if code in _CODES:
        return _CODES[code], said
    if str(status) in _CODES:
        return _CODES[str(status)], said
    busy = status >= 500 or status in (408, 429)
    return (_BUSY if busy else Meaning("{endpoint} refused the call ({said})")), said
