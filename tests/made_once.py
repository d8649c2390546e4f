"""What takes long to make and is always the same, made once for all tests of a process."""

import os
from functools import cache
from ssl import SSLContext
from typing import Any

import botocore.loaders
import httpx
from httpx._transports import default

_create = httpx.create_ssl_context


def make_once() -> None:
    """From now on share the authorities that clients of httpx trust, and what the SDK for S3 reads of its services."""
    default.create_ssl_context = _authorities  # type: ignore[attr-defined,assignment]
    botocore.loaders.create_loader = cache(botocore.loaders.create_loader)


def _authorities(verify: Any = True, **others: Any) -> SSLContext:
    if verify is not True or others.get("cert"):
        return _create(verify, **others)
    named = [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]
    return _trusted(*named, **others)


@cache
def _trusted(_file: str | None, _folder: str | None, **others: Any) -> SSLContext:
    return _create(True, **others)
