"""`key new`: fresh secrets, and the hash under which they may stand in a config."""

import base64
import hashlib
import secrets
from typing import Annotated, Literal

import typer

from backupman.cli.call import Call

_BYTES = 32


def new(
    call: Call,
    kind: Annotated[
        Literal["webhook", "api"], typer.Option(help="webhook: signs what is sent; api: opens the HTTP API.")
    ],
) -> None:
    """Make a fresh secret; nothing is stored.

    Prints the secret (`whsec_…` for a webhook's `secret`, `bm_…` for `http.api_keys`), and below it its SHA-256, for
    where only the hash is kept.

    \b
    Examples:
      backupman key new --kind webhook
      backupman key new --kind api
    """
    secret = secrets.token_bytes(_BYTES)
    if kind == "webhook":
        key = "whsec_" + base64.b64encode(secret).decode()  # https://www.standardwebhooks.com, 1.0.0
    else:
        key = "bm_" + base64.urlsafe_b64encode(secret).decode().rstrip("=")
    typer.echo(key)
    typer.echo(f"sha256: {hashlib.sha256(key.encode()).hexdigest()}")
