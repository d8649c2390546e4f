"""What notifiers that open a connection share: TLS, time-outs, the clock, and words for what went wrong."""

import os
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field, SecretStr, ValidationInfo

from backupman.errors import NotifyError
from backupman.registry import Duration, Settings

Clock = Callable[[], datetime]
"""The aware time of an attempt."""


def utc_now() -> datetime:
    """The clock of every endpoint outside of tests."""
    return datetime.now(UTC)


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("a time-out must be longer than 0s")
    return value


Timeout = Annotated[Duration, AfterValidator(_positive)]
"""A span of time that is longer than nothing."""


def _of_a_header(value: SecretStr, info: ValidationInfo) -> SecretStr:
    text = value.get_secret_value().strip()
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{info.field_name} holds a character that no header can carry: copy it anew and alone")
    return SecretStr(text)


HeaderKey = Annotated[SecretStr, AfterValidator(_of_a_header)]
"""A key that is sent in a header, without the blanks around it."""


def secret_address(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """The http:// or https:// URL, or nothing; ValueError for anything else."""
    try:
        url = httpx.URL(value.get_secret_value().strip())
    except httpx.InvalidURL:
        url = httpx.URL("")
    if value.get_secret_value() and not (url.scheme in ("http", "https") and url.host):
        raise ValueError(f"{info.field_name} is not an address: write http:// or https://, a host and a path")
    return SecretStr(str(url))


def plain_address(value: str, info: ValidationInfo) -> str:
    """The same, without a slash at its end."""
    return secret_address(SecretStr(value), info).get_secret_value().rstrip("/")


class TlsSettings(Settings):
    """Which certificates are believed: the system's authorities', or those of `ca_file`."""

    ca_file: Path | None = Field(default=None, description="PEM file of the authorities to trust, not the system's.")
    verify_tls: bool = Field(default=True, description="`false` believes every certificate: anybody can listen in.")

    def tls_context(self, label: str) -> ssl.SSLContext:
        """A client's context.

        Raises:
            NotifyError: `ca_file` cannot be used.
        """
        file = self.ca_file or ssl.get_default_verify_paths().cafile
        try:
            changed = Path(file).stat().st_mtime_ns if file else None
            return _context(self.ca_file, self.verify_tls, changed)
        except OSError as error:
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise NotifyError(f"{label}: ca_file {self.ca_file} cannot be used: {why}") from error


# Loading the system's authorities takes tens of milliseconds, too long for each of hundreds of deliveries; but a daemon
# lives longer than its authorities.
@lru_cache(maxsize=32)
def _context(ca_file: Path | None, verify: bool, changed: int | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_loopback(host: str) -> bool:
    """Whether what is sent to the host cannot leave this machine; no name is looked up."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "ip6-localhost") or host.lower().endswith(".localhost")


def refused_certificate(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """The refused certificate among the causes of an error."""
    return next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)


def is_tls_failure(error: BaseException) -> bool:
    """Whether the two sides could not agree on TLS."""
    return any(isinstance(cause, ssl.SSLError) for cause in _causes(error))


def unreachable_because(error: BaseException) -> str | None:
    """The operating system's words for why no connection came about; None where it has none."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return str(cause.strerror)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return None


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
