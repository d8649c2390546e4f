"""Bodies of requests: read only when the key was good, bounded while they are read, JSON from whatever wrote it."""

import asyncio
import json
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError

from backupman.api.errors import invalid
from backupman.columns import storable

LIMIT = 64 * 1024
"""Bytes of a body."""

_WITHIN = 30.0

Model = TypeVar("Model", bound=BaseModel)


async def document(request: Request) -> Any:
    """The JSON value in the body, whatever its Content-Type says; None when there is no body.

    Raises:
        HTTPException: 413 when it is too large, 408 when it does not come, 400 when it is no JSON.
    """
    body = await content(request)
    if not body.strip():
        return None
    try:
        return storable(json.loads(_text(body)))
    except RecursionError as error:
        raise HTTPException(400, "the body is nested too deep") from error
    except ValueError as error:
        raise HTTPException(
            400, f'the body is not JSON: {error}; in a text, quotes are written \\" and line breaks \\n'
        ) from error


def parsed(model: type[Model], value: Any) -> Model:
    """A JSON value as a model. Raises HTTPException: 422 with every wrong field named."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(error) from error


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """What the OpenAPI says of a body that `document` reads and `parsed` takes."""
    schema = model.model_json_schema(by_alias=True)
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


async def content(request: Request) -> bytes:
    """The bytes of a body.

    Raises:
        HTTPException: 413 when they are too many, 408 when they do not come.
    """
    claimed = request.headers.get("Content-Length", "")
    if claimed.isdecimal() and int(claimed[:20]) > LIMIT:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(_WITHIN):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LIMIT:  # whatever was claimed
                    raise _too_large()
    except TimeoutError as error:
        raise HTTPException(408, f"the body did not come within {_WITHIN:g} s") from error
    return bytes(body)


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body is larger than {LIMIT // 1024} KiB")


def _text(body: bytes) -> str:
    """UTF-8, or UTF-16 and UTF-32 by their marks; what is none of them is what older PowerShell sends: cp1252."""
    try:
        return body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")
