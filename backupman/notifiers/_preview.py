"""What a request would say, for people: method, address, headers and body, with every secret masked."""

import gzip
import json
from collections.abc import Iterable

import httpx

from backupman.text import printable

_MASK = "***"
_TELLING = 8
"""Characters from which on a piece of an address is taken for a secret."""
_LOGINS = frozenset({"authorization", "proxy-authorization", "cookie"})


def shown(request: httpx.Request, secrets: Iterable[str]) -> str:
    """The request as text; what is compressed is shown as it was before."""
    known = sorted(secrets, key=len, reverse=True)
    headers = [
        f"{name}: {_MASK if name.lower() in _LOGINS else masked(value, known)}"
        for name, value in ((name.decode(), value.decode(errors="replace")) for name, value in request.headers.raw)
    ]
    body = request.content
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    parts = [f"{request.method} {_address(request.url, known)}", *headers]
    text = body.decode(errors="replace")
    return str(printable("\n".join(parts) + (f"\n\n{masked(text, known)}" if text else "")))


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, also where they stand in JSON."""
    for secret in secrets:
        for form in {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}:
            text = text.replace(form, _MASK)
    return text


def _address(url: httpx.URL, secrets: list[str]) -> str:
    """The address with its host; of its path and query nothing that the config has in a secret address."""
    addresses = [httpx.URL(secret) for secret in secrets if "://" in secret]
    path = "/".join(_MASK if len(part) >= _TELLING else part for part in url.path.split("/"))
    for own in (address.path for address in addresses):
        if len(own) > 1 and url.path.startswith(own):
            path = f"/{_MASK}{url.path.removeprefix(own)}"
    keys = {value for address in addresses for value in address.params.values()}
    pairs = [f"{name}={_MASK if value in keys else value}" for name, value in url.params.multi_items()]
    place = f"{url.scheme}://{url.netloc.decode()}"
    return masked(place + path + (f"?{'&'.join(pairs)}" if pairs else ""), [s for s in secrets if "://" not in s])
