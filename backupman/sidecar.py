"""The sidecar: the JSON document beside an object that says what it is, whose it is, and how to read it.

It holds all that is needed to make the records anew when nothing but a drive is left. Beside an encrypted object
nothing in clear tells of the content: that part is sealed to the same keys.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import Field, ValidationError, field_validator

from backupman.errors import BackupmanError
from backupman.events import Time, View
from backupman.manifest import Manifest

VERSION = 2
"""Of the format. A reader takes what it knows of a newer one: keys are added, and none changes its meaning."""

_NAME_LENGTH = 1024
_LARGEST = 2**63 - 1
"""What the records can hold."""
_ID = "^[0-9a-f]{8}-[0-9a-f-]{27}$"

Seal = Callable[[bytes], str]
"""Encrypts to whom the dump is encrypted to; an ASCII-armored age file."""


class Content(View):
    """What tells of a dump's content."""

    size: int | None = Field(default=None, ge=0, le=_LARGEST, description="Bytes that the tool wrote.")
    facts: dict[str, str] = Field(default_factory=dict, description="Versions and the like.")
    warnings: list[str] = Field(default_factory=list, description="What its report warned of.")
    manifest: Manifest | None = Field(default=None, description="Tables and rows, where they were counted.")


class Sidecar(Content):
    """A sidecar as it is read back. The first one that was ever written had no version, and less in it."""

    version: int = Field(default=1, description="Of this format.")
    id: str = Field(pattern=_ID, description="The backup's id.")
    label: str = Field(max_length=512)
    job: str = Field(max_length=255)
    source: str = Field(max_length=255)
    database: str = Field(max_length=255)
    source_provider: str = Field(max_length=64)
    instance: str = Field(max_length=255, description="Whose it is.")
    trigger: str = Field(default="manual", max_length=32)
    created_at: Time = Field(description="When the backup began.")
    dumped_at: Time | None = Field(default=None, description="When its dump was whole.")
    object: str = Field(max_length=_NAME_LENGTH, description="The object's name, below the drive's folder or prefix.")
    compression: str | None = Field(default=None, description="`gzip`, `zstd` or `none`.")
    encryption: str | None = Field(default=None, description="`age`, or nothing.")
    stored_size: int = Field(ge=0, le=_LARGEST, description="Bytes of the object.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the object's bytes.")
    sealed: str | None = Field(default=None, description="The keys of `Content`, encrypted: an armored age file.")

    @field_validator("created_at", "dumped_at")
    @classmethod
    def _in_utc(cls, time: datetime | None) -> datetime | None:
        if time and time.tzinfo is None:
            raise ValueError("the time has no offset")
        try:
            return time.astimezone(UTC) if time else None
        except OverflowError as error:
            raise ValueError("there is no such time in UTC") from error

    @classmethod
    def parse(cls, name: str, data: bytes) -> "Sidecar":
        """The sidecar of the object of that name.

        Raises:
            BackupmanError: it is none, or another object's.
        """
        try:
            sidecar = cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise BackupmanError(f"its sidecar cannot be read: {where}: {first['msg']}", permanent=True) from error
        if sidecar.object != name:
            raise BackupmanError(f"its sidecar is that of {sidecar.object}", permanent=True)
        return sidecar


def document(
    known: Mapping[str, Any], *, stored_size: int, sha256: str, dumped_at: datetime, content: Content, seal: Seal | None
) -> dict[str, Any]:
    """The whole sidecar: what was known before the dump, and what the dump was.

    `known["Encryption"]` says whether the content is sealed. Where it has to be and nobody is known to seal it to any
    more (`seal` is None), it is left out.
    """
    clear = {"StoredSize": stored_size, "Sha256": sha256, "DumpedAt": dumped_at}
    whole = {"Version": VERSION, **known, **clear}
    inner = content.model_dump(mode="json", by_alias=True)
    if known["Encryption"] is None:
        whole |= inner
    elif seal:
        whole["Sealed"] = seal(Content.model_validate(inner).model_dump_json(by_alias=True).encode())
    sidecar = Sidecar.model_validate(whole)
    shown = sidecar.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {key: shown[key] for key in whole}  # in the order in which it is best read
