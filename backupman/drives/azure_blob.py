"""A container of Azure Blob Storage as a drive. A ref is the blob's name."""

import io
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal, cast
from urllib.parse import quote

from pydantic import Field, SecretStr, model_validator

from backupman.drives import Capabilities, Drive, Opened, Stat, Stored, valid_name
from backupman.drives._azure_client import connect
from backupman.drives._azure_errors import ConditionFailed, Door, Forbidden
from backupman.drives._azure_upload import MAX_BLOCK, Blocks, Sender
from backupman.drives._endpoint import like
from backupman.drives._ranges import RangeReader
from backupman.errors import DriveError, ObjectNotFound, Retained
from backupman.registry import Duration, Size

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

_BUFFER = 2**20
_METADATA_BYTES = 8000


class AzureBlob(Drive):
    """A container of a storage account, or a prefix in one."""

    container: str = Field(min_length=1, max_length=63, description="The container, which must exist.")
    account: str | None = Field(default=None, pattern=r"^[a-z0-9]{3,24}$", description="The storage account's name.")
    connection_string: SecretStr | None = Field(
        default=None, description="Account and key in one, as the portal shows it, instead of the other ways in."
    )
    account_key: SecretStr | None = Field(default=None, description="One of the account's two keys.")
    sas_token: SecretStr | None = Field(default=None, description="A shared access signature, instead of a key.")
    client_id: str | None = Field(
        default=None, description="Which managed identity, where this machine has several of its own."
    )
    endpoint: Annotated[str, like("https://mystore.blob.core.windows.net")] | None = Field(
        default=None, description="The service's URL where it is not `https://<account>.blob.core.windows.net`."
    )
    prefix: str = Field(default="", max_length=120, description="What stands before every object's name, as a folder.")
    block_size: Size = Field(
        default=8 * 2**20,
        ge=64 * 2**10,
        le=MAX_BLOCK,
        description="Larger objects go in blocks; the first 7,500 of this size.",
    )
    concurrency: int = Field(default=4, ge=1, le=10, description="How many blocks are in memory and sent at once.")
    tier: Literal["hot", "cool", "cold", "archive"] | None = Field(
        default=None, description="The access tier; default the account's."
    )
    deletion: Literal["never"] | None = Field(
        default=None, alias="delete", description="`never` leaves it to a lifecycle rule to remove objects."
    )
    verify_tls: bool = Field(default=True, description="`false` trusts any certificate.")
    ca_file: Path | None = Field(default=None, description="Certificates (PEM) to trust instead of the public ones.")
    timeout: Duration = Field(default=timedelta(seconds=60), description="How long the server may stay silent.")

    capabilities: ClassVar[Capabilities] = Capabilities(parts=True)

    @model_validator(mode="after")
    def _one_way_in(self) -> "AzureBlob":
        ways = [self.connection_string, self.account_key, self.sas_token, self.client_id]
        if len([way for way in ways if way]) > 1:
            raise ValueError("should have one of connection_string, account_key, sas_token and client_id")
        if self.connection_string and (self.account or self.endpoint):
            raise ValueError("should have no account and endpoint beside connection_string, which holds them")
        if not (self.connection_string or self.account or self.endpoint):
            raise ValueError("should have account, endpoint or connection_string")
        return self

    def secrets(self) -> Iterator[str]:
        """The parts that open the account too, without what stands around them."""
        for secret in super().secrets():
            yield secret
            yield from re.findall(r"(?:AccountKey|SharedAccessSignature)=([^;]+)", secret)
            yield from re.findall(r"(?:^|[&?])sig=([^&;]+)", secret)

    def warnings(self) -> "list[str]":
        return [] if self.verify_tls else [f"{self.label}: verify_tls is false, so that anybody can pose as the server"]

    def path(self, name: str) -> str:
        return self._place + _spelled(valid_name(self.label, name))

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        key = self.path(name)
        stat = self._sender(key, metadata).send(reader, Blocks(self.block_size, self.concurrency))
        return Stored(ref=key, size=stat.size, checksums=stat.checksums)

    def open(self, ref: str) -> BinaryIO:
        from azure.core import MatchConditions

        blob = self._client.get_blob_client(ref)
        about = self._door.call(blob.get_blob_properties, ref)

        def fetch(start: int, end: int) -> bytes:
            same = {"etag": about.etag, "match_condition": MatchConditions.IfNotModified}
            try:
                data: bytes = self._door.call(
                    lambda: blob.download_blob(start, end - start, max_concurrency=1, **same).readall(), ref
                )
            except ConditionFailed:
                raise DriveError(f"{self.label}: {ref} was replaced while it was read", permanent=True) from None
            return data

        return cast(BinaryIO, io.BufferedReader(RangeReader(about.size, fetch), _BUFFER))

    def delete(self, ref: str) -> None:
        try:
            if self.deletion == "never":
                self.stat(ref)
                raise Retained(f"{self.label}: {ref} is left to the account's lifecycle rules", permanent=True)
            self._door.call(lambda: self._client.delete_blob(ref, delete_snapshots="include"), ref)
        except ObjectNotFound:
            return
        except Forbidden:
            if self.deletion != "never":
                raise
            raise Retained(f"{self.label}: {ref} is left to the account's lifecycle rules", permanent=True) from None

    def stat(self, ref: str) -> Stat:
        return self.retry.call(lambda: self._head(ref))

    def list(self, prefix: str = "") -> Iterator[str]:
        with self._door.explained():
            pages = self._client.list_blob_names(name_starts_with=self._place + _spelled(prefix)).by_page()
        while (page := self._door.call(lambda: next(pages, None))) is not None:
            yield from self._door.call(lambda: list(page))

    def check(self) -> None:
        """Ask to make a blob on a condition that cannot hold: that needs the right to make one, and makes none."""
        self._sender(self.path(f"backupman-check-{uuid.uuid4().hex}"), {}).may_create()

    @property
    def _place(self) -> str:
        """What stands before every object's name."""
        prefix = self.prefix.strip("/")
        return f"{prefix}/" if prefix else ""

    @property
    def _door(self) -> Door:
        endpoint = self.endpoint or (self.account and f"the account {self.account}") or "the storage account"
        place = {"label": self.label, "container": self.container, "endpoint": endpoint}
        return Door(place, self.retry, self.redact)

    def _sender(self, key: str, metadata: Mapping[str, str]) -> Sender:
        settings: dict[str, Any] = {"metadata": _ascii(metadata)}
        if self.tier:
            from azure.storage.blob import StandardBlobTier

            settings["standard_blob_tier"] = StandardBlobTier(self.tier.capitalize())
        return Sender(
            blob=self._client.get_blob_client(key), door=self._door, settings=settings, head=lambda: self._head(key)
        )

    def _head(self, key: str) -> Stat:
        with self._door.explained(key):
            about = self._client.get_blob_client(key).get_blob_properties()
        md5 = about.content_settings.content_md5
        return Stat(about.size, {"md5": bytes(md5).hex()} if md5 else {})

    @cached_property
    def _client(self) -> "ContainerClient":
        return connect(self, self._door)


def _spelled(name: str) -> str:
    """The name without backslashes, which Azure would take for slashes."""
    return name.replace("\\", "%5C")


def _ascii(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as Azure takes it: names of letters, digits and underscores, values percent-encoded, 8 KB in all."""
    taken: dict[str, str] = {}
    left = _METADATA_BYTES
    for name, value in metadata.items():
        name = re.sub(r"[^a-z0-9]+", "_", name.lower())
        value = quote(value, safe=" !#$&'()*+,/:;=?@[]").strip()
        left -= len(name) + len(value)
        if left >= 0 and name[:1].isalpha():
            taken[name] = value
    return taken
