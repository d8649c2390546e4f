"""A bucket as a drive: Amazon S3, or anything that speaks its protocol. A ref is the object's key."""

import io
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal, cast
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, SecretStr, model_validator

from backupman.drives import Capabilities, Drive, Opened, Stat, Stored, valid_name
from backupman.drives._endpoint import like
from backupman.drives._s3_client import connect
from backupman.drives._s3_errors import Door, Forbidden
from backupman.drives._s3_parts import CHECKSUMS, MAX_PART, MIN_PART, Parts, stored_checksums
from backupman.drives._s3_read import ObjectReader
from backupman.drives._s3_upload import Sender
from backupman.errors import DriveError, ObjectNotFound, Retained
from backupman.registry import Duration, Settings, Size
from backupman.text import minute

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BUFFER = 2**20
_METADATA_BYTES = 2000


class ObjectLock(Settings):
    """How long each object is locked from its upload on."""

    mode: Literal["governance", "compliance"] = Field(
        description="`compliance`: nobody can end it, not even the owner."
    )
    retain: Duration = Field(gt=timedelta(0), description="How long an object can be neither changed nor removed.")


TagName = Annotated[str, Field(min_length=1, max_length=128)]
TagValue = Annotated[str, Field(max_length=256)]


class S3(Drive):
    """A bucket, or a prefix in one."""

    bucket: str = Field(min_length=1, description="The bucket, which must exist.")
    region: str | None = Field(default=None, description="Its region; default what the environment says, or us-east-1.")
    access_key: SecretStr | None = Field(
        default=None, description="Without it the credentials come from where AWS's own tools look for them."
    )
    secret_key: SecretStr | None = Field(default=None, description="The secret that belongs to access_key.")
    session_token: SecretStr | None = Field(default=None, description="The third part of temporary credentials.")
    endpoint: Annotated[str, like("https://s3.example.com")] | None = Field(
        default=None, description="The server's URL where it is not Amazon's."
    )
    prefix: str = Field(default="", max_length=120, description="What stands before every object's name, as a folder.")
    force_path_style: bool | None = Field(
        default=None, description="The bucket in the path instead of the host name; default true with an endpoint."
    )
    part_size: Size = Field(
        default=8 * 2**20,
        ge=MIN_PART,
        le=MAX_PART,
        description="Larger objects go in parts; the first ones have this size.",
    )
    equal_parts: bool | None = Field(
        default=None,
        description="All parts of one size, up to 10,000 of them; default true for Cloudflare R2, which wants it.",
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="How many parts are in memory and sent at once.")
    checksum: Literal["sha256", "crc32", "md5"] = Field(
        default="sha256", description="What the server verifies each part by; `md5` for servers that know no other."
    )
    storage_class: str | None = Field(default=None, description="For example STANDARD_IA; default the bucket's.")
    sse: Literal["AES256", "aws:kms"] | None = Field(default=None, description="Encryption by the server.")
    sse_kms_key_id: str | None = Field(default=None, description="The key for aws:kms; default the account's.")
    tags: dict[TagName, TagValue] = Field(
        default={}, max_length=10, description="Tags of every object, for lifecycle rules, policies and bills."
    )
    object_lock: ObjectLock | None = Field(
        default=None, description="Locks every object, in a bucket that was made with Object Lock."
    )
    deletion: Literal["never"] | None = Field(
        default=None, alias="delete", description="`never` leaves it to the bucket's lifecycle rules to remove objects."
    )
    verify_tls: bool = Field(default=True, description="`false` trusts any certificate.")
    ca_file: Path | None = Field(default=None, description="Certificates (PEM) to trust instead of the system's.")
    timeout: Duration = Field(default=timedelta(seconds=60), description="How long the server may stay silent.")

    capabilities: ClassVar[Capabilities] = Capabilities(parts=True, resumes=True)

    @model_validator(mode="after")
    def _whole(self) -> "S3":
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key belong together: set both or none")
        if self.session_token and not self.access_key:
            raise ValueError("session_token needs the access_key and secret_key that it came with")
        if self.sse_kms_key_id and self.sse != "aws:kms":
            raise ValueError("sse_kms_key_id needs sse: aws:kms")
        return self

    def warnings(self) -> "list[str]":
        return [] if self.verify_tls else [f"{self.label}: verify_tls is false, so that anybody can pose as the server"]

    def path(self, name: str) -> str:
        prefix = self.prefix.strip("/")
        return f"{prefix}/{valid_name(self.label, name)}" if prefix else valid_name(self.label, name)

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        sender = self._sender(self.path(name), metadata)
        return _stored(sender, sender.send(reader, self._parts, opened))

    def resume(
        self, reader: BinaryIO, name: str, metadata: Mapping[str, str], session: str, opened: Opened | None = None
    ) -> Stored:
        sender = self._sender(self.path(name), metadata)
        stat = sender.resume(reader, self._parts, session) or sender.send(reader, self._parts, opened)
        return _stored(sender, stat)

    def open(self, ref: str) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(ObjectReader(self._client, self._door, self.bucket, ref), _BUFFER))

    def delete(self, ref: str) -> None:
        if why := self._retained(ref):
            raise Retained(f"{self.label}: {ref} {why}", permanent=True)
        if self.deletion != "never":  # else it is gone already
            self._door.call(lambda: self._client.delete_object(Bucket=self.bucket, Key=ref), ref)

    def stat(self, ref: str) -> Stat:
        try:
            return self.retry.call(lambda: self._head(ref))
        except DriveError as error:
            if error.permanent:  # an answer to HEAD has no body: this says whether it is the bucket, or the key
                self.open(ref).close()
            raise

    def list(self, prefix: str = "") -> Iterator[str]:
        where = self.prefix.strip("/") + "/" if self.prefix.strip("/") else ""
        more: dict[str, Any] = {}
        while True:
            page = self._door.call(
                lambda: self._client.list_objects_v2(Bucket=self.bucket, Prefix=where + prefix, **more)  # noqa: B023
            )
            for entry in page.get("Contents", []):
                yield entry["Key"]
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def check(self) -> None:
        """Begin an upload and abort it: that needs the right to put objects and no other, and stores nothing."""
        sender = self._sender(self.path(f"backupman-check-{uuid.uuid4().hex}"), {})
        sender.begin_and_abort()
        if self.object_lock:
            self._refuse_without_locks()

    def abort(self, name: str, session: str | None) -> None:
        sender = self._sender(self.path(name), {})
        for upload_id in [session] if session else self._sessions(self.path(name)):
            sender.abort(upload_id)

    def _sessions(self, key: str) -> Sequence[str]:
        """The uploads that were begun for exactly this key and not ended: of one that died before it told its id."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=key)
        found = self._door.call(lambda: [upload for page in pages for upload in page.get("Uploads", [])], key)
        return [upload["UploadId"] for upload in found if upload["Key"] == key]

    @property
    def _parts(self) -> Parts:
        return Parts(self.part_size, self.concurrency, equal=self._wants_equal_parts)

    @property
    def _wants_equal_parts(self) -> bool:
        if self.equal_parts is None:
            return (urlsplit(self.endpoint or "").hostname or "").endswith(".r2.cloudflarestorage.com")
        return self.equal_parts

    @property
    def _door(self) -> Door:
        place = {
            "label": self.label,
            "bucket": self.bucket,
            "endpoint": self.endpoint or "Amazon S3",
            "region": self.region or "the default one",
        }
        return Door(place, self.retry, self.redact)

    def _sender(self, key: str, metadata: Mapping[str, str]) -> Sender:
        settings: dict[str, Any] = {
            "Metadata": _ascii(metadata),
            "StorageClass": self.storage_class,
            "ServerSideEncryption": self.sse,
            "SSEKMSKeyId": self.sse_kms_key_id,
            "Tagging": urlencode(self.tags, quote_via=quote),
        }
        if self.object_lock:
            settings["ObjectLockMode"] = self.object_lock.mode.upper()
            settings["ObjectLockRetainUntilDate"] = datetime.now(UTC) + self.object_lock.retain
        return Sender(
            client=self._client,
            door=self._door,
            bucket=self.bucket,
            key=key,
            checksum=CHECKSUMS[self.checksum],
            settings={member: value for member, value in settings.items() if value},
            head=lambda: self._head(key),
        )

    def _retained(self, key: str) -> str | None:
        """Why the object stays for now. In a bucket with locks a removal only hides it, so that it is asked before."""
        try:
            if self.deletion == "never":
                self.stat(key)
                return "is left to the bucket's lifecycle rules"
            about = self._door.call(lambda: self._client.head_object(Bucket=self.bucket, Key=key), key)
        except ObjectNotFound:
            return None
        except Forbidden:  # not ours to ask
            return "is left to the bucket's lifecycle rules" if self.deletion == "never" else None
        until = about.get("ObjectLockRetainUntilDate")
        if until and until > datetime.now(UTC):
            return f"is locked until {minute(until)}"
        return "is locked by a legal hold" if about.get("ObjectLockLegalHoldStatus") == "ON" else None

    def _refuse_without_locks(self) -> None:
        """Raise DriveError if the bucket locks nothing: servers without locks may take the headers and drop them."""
        cause = None
        try:
            about = self._door.call(lambda: self._client.get_object_lock_configuration(Bucket=self.bucket))
            if about.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled":
                return
        except Forbidden:  # not ours to ask
            return
        except DriveError as error:
            if not error.permanent:
                raise
            cause = error
        raise DriveError(
            f"{self.label}: bucket {self.bucket} has no Object Lock, and nothing in it would be locked: make it anew "
            "with one, at a server that has locks, or leave object_lock out",
            permanent=True,
        ) from cause

    def _head(self, key: str) -> Stat:
        with self._door.explained(key):
            answer = self._client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
        return Stat(answer["ContentLength"], stored_checksums(answer))

    @cached_property
    def _client(self) -> "S3Client":
        return connect(self, self._door)


def _stored(sender: Sender, stat: Stat) -> Stored:
    return Stored(ref=sender.key, size=stat.size, checksums=stat.checksums)


def _ascii(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as S3 takes it: names of letters, digits and hyphens, values percent-encoded, not above 2 KB in all."""
    taken: dict[str, str] = {}
    left = _METADATA_BYTES
    for name, value in metadata.items():
        name = re.sub(r"[^a-z0-9]+", "-", name.lower())
        value = quote(value, safe=" !#$&'()*+,/:;=?@[]")
        left -= len(name) + len(value)
        if left >= 0:
            taken[name] = value
    return taken
