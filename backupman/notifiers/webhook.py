"""Webhooks: each event as a POST of the documented JSON, with the original's token and Standard Webhooks headers."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Self

import httpx
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from backupman.errors import NotifyError
from backupman.events import EventKind
from backupman.notifiers import Message, Notifier
from backupman.notifiers._formats import FORMATS, backupman, filled, sb_signature
from backupman.notifiers._http import Address, HttpEndpoint, HttpSettings

_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "sb-signature",
        "transfer-encoding",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-webhook-token",
    }
)
"""Headers that a user's `headers` may not set: what receivers rely on, and what frames the request."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_KEY_SIZES = range(24, 65)
_SAMPLE = Message(
    "0", EventKind.BACKUP_REPORT, datetime(2025, 7, 2, 10, tzinfo=UTC), {"Label": "x", "Status": "finished"}
)
"""What a template is tried with when the config is loaded."""


class WebhookSettings(HttpSettings):
    """One endpoint of the webhook notifier."""

    name: str = Field(
        default="default", min_length=1, max_length=200, description="Its name in records: `webhook/<name>`."
    )
    url: Address = Field(default=SecretStr(""), description="Where to POST to: http:// or https://.")
    token: SecretStr = Field(default=SecretStr(""), description="Sent as `X-Webhook-Token`, without spaces around it.")
    headers: dict[str, SecretStr] = Field(default={}, description="More headers, for example `Authorization`.")
    secret: SecretStr | None = Field(default=None, description="`whsec_…`: signs what is sent (Standard Webhooks).")
    secrets: list[SecretStr] = Field(default=[], description="Instead of `secret`, several while they are rotated.")
    extended: bool = Field(default=False, description="Sends everything that is known, beside the documented fields.")
    format: Literal["backupman", "prime", "simplebackups"] = Field(
        default="backupman", description="Whose body: Backupman's own, that of Prime Backup or of SimpleBackups."
    )
    body: str | None = Field(default=None, description="A template of your own for the body, instead of `format`.")
    content_type: str = Field(default="application/json", description="Of a body of your own.")
    signing_secret: SecretStr | None = Field(
        default=None, min_length=1, description="Signs what is sent as SimpleBackups does, in `SB-Signature`."
    )

    @property
    def signing_keys(self) -> list[bytes]:
        """The bytes of every secret, in the config's order."""
        return [_key(secret) for secret in ([self.secret] if self.secret else self.secrets)]

    @field_validator("name")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("name holds a line break or another control character")
        return value

    @field_validator("token")
    @classmethod
    def _is_header_value(cls, value: SecretStr) -> SecretStr:
        return _header_value(value, "token")

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in value:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            if name.lower() in _OURS:
                hint = ": write token instead" if name.lower() == "x-webhook-token" else ""
                raise ValueError(f"the header {name} is set by Backupman itself{hint}")
        return {name: _header_value(item, f"the header {name}") for name, item in value.items()}

    @field_validator("secret", "secrets")
    @classmethod
    def _are_secrets(cls, value: SecretStr | list[SecretStr] | None) -> SecretStr | list[SecretStr] | None:
        for secret in [value] if isinstance(value, SecretStr) else value or []:
            _key(secret)
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.secret and self.secrets:
            raise ValueError("write either secret or secrets, not both")
        if self.body is not None:
            if self.format != "backupman" or self.extended:
                raise ValueError("body stands in place of format and extended: leave them out")
            try:
                self.filled(_SAMPLE)
            except NotifyError as error:
                raise ValueError(error.sentence) from None
        return self

    def filled(self, message: Message) -> bytes | None:
        """The body of a message, None where the format has no word for it. Raises NotifyError."""
        if self.body is not None:
            return filled(self.body, message, as_json="json" in self.content_type)
        other = FORMATS.get(self.format)
        return other(message) if other else backupman(message, extended=self.extended)


class Webhook(Notifier):
    """Webhook endpoints that get each event as JSON."""

    # The key `endpoints` has another name here because the contract's method has taken its own.
    model_config = ConfigDict(serialize_by_alias=True, hide_input_in_errors=True)

    endpoint_settings: list[WebhookSettings] = Field(
        default=[], alias="endpoints", description="Where to send to: a list of endpoints."
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.enabled:
            return self
        if not self.endpoint_settings:
            raise ValueError("endpoints is required while the webhook notifier is enabled: name at least one")
        names = [settings.name for settings in self.endpoint_settings]
        for settings in self.endpoint_settings:
            if not settings.url.get_secret_value():
                raise ValueError(f"the endpoint {settings.name!r} needs a url")
            if names.count(settings.name) > 1:
                raise ValueError(f"the endpoint name {settings.name!r} is used twice; give each endpoint its own")
        return self

    def endpoints(self) -> Sequence["WebhookEndpoint"]:
        """One for each configured endpoint, named `webhook/<name>`."""
        if not self.enabled:
            return []
        return [WebhookEndpoint(self.named(settings.name), settings, self) for settings in self.endpoint_settings]

    def warnings(self) -> list[str]:
        """Endpoints that anybody in between can read or forge, or whose receiver misses its signature."""
        found: list[str] = []
        for endpoint in self.endpoints():
            found += endpoint.settings.in_clear(endpoint.name)
            if endpoint.settings.format == "simplebackups" and not endpoint.settings.signing_secret:
                found.append(
                    f"{endpoint.name}: nothing is signed without signing_secret, and receivers of SimpleBackups' "
                    "webhooks rely on the header SB-Signature"
                )
        return found


@dataclass(frozen=True)
class WebhookEndpoint(HttpEndpoint):
    """One URL."""

    settings: WebhookSettings

    @property
    def events(self) -> Sequence[str]:
        """The endpoint's own, else those of the whole block."""
        return (self.settings if self.settings.chosen else self.provider).kinds

    def request(self, message: Message) -> httpx.Request | None:
        """The POST of one attempt: the body is serialised once, and exactly these bytes are signed."""
        try:
            body = self.settings.filled(message)
        except NotifyError as error:
            raise NotifyError(f"{self.name}: {error.sentence}", permanent=True) from None
        if body is None:
            return None
        timestamp = str(int(self.clock().timestamp()))
        headers = {name: value.get_secret_value() for name, value in self.settings.headers.items()} | {
            "Content-Type": self.settings.content_type,
            "X-Webhook-Token": self.settings.token.get_secret_value(),
            "webhook-id": message.id,
            "webhook-timestamp": timestamp,
        }
        if keys := self.settings.signing_keys:
            signed = f"{message.id}.{timestamp}.".encode() + body
            headers["webhook-signature"] = " ".join(signature(key, signed) for key in keys)
        if secret := self.settings.signing_secret:
            headers["SB-Signature"] = sb_signature(secret.get_secret_value(), body)
        return httpx.Request(
            "POST",
            self.settings.url.get_secret_value(),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=body,
        )


def signature(key: bytes, signed: bytes) -> str:
    """`v1,…` over `id.timestamp.body`, as Standard Webhooks 1.0.0 defines it."""
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(secret: SecretStr) -> bytes:
    text = secret.get_secret_value().strip()
    try:
        key = base64.b64decode(
            text.removeprefix("whsec_") + "=" * (-len(text.removeprefix("whsec_")) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith("whsec_") or len(key) not in _KEY_SIZES:
        raise ValueError(
            "a secret is whsec_ and 24 to 64 bytes in base64; `backupman key new --kind webhook` makes one"
        )
    return key


def _header_value(value: SecretStr, what: str) -> SecretStr:
    text = value.get_secret_value().strip()
    if _CONTROLS.search(text):
        raise ValueError(f"{what} holds a line break or another control character, which no header can carry")
    return SecretStr(text)
