"""Every answer that a test gets is one that the OpenAPI document tells of: its status, and the fields of its body."""

import re
from copy import deepcopy
from typing import Any

import httpx
import jsonschema
from fastapi import FastAPI

ANYWHERE = {"400", "405", "500", "503"}
"""What any route may answer; the page tells of them once."""

_known: list[dict[str, Any]] = []


def learn(api: FastAPI) -> None:
    """Read the document; once, for it is the same for every daemon."""
    if not _known:
        _known.append(_closed(deepcopy(api.openapi())))


def must_be_documented(response: httpx.Response) -> None:
    """A hook for a client: fails when the status or the body is another than the document says."""
    route = response.request.url.raw_path.decode().partition("?")[0]
    for path, methods in _known[0]["paths"].items():
        operation = methods.get(response.request.method.lower())
        if operation and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), route):
            _check(response, path, operation["responses"])


def _check(response: httpx.Response, path: str, told: dict[str, Any]) -> None:
    status = str(response.status_code)
    assert status in told or status in ANYWHERE, f"{response.request.method} {path} does not tell of {status}"
    answer = told.get(status) or told[f"{status[0]}XX"]
    schema = answer.get("content", {}).get("application/json", {}).get("schema")
    if schema and response.headers.get("Content-Type") == "application/json":
        response.read()
        jsonschema.Draft202012Validator(schema | {"components": _known[0]["components"]}).validate(response.json())


def _closed(document: dict[str, Any]) -> dict[str, Any]:
    """The same with no field allowed that it does not name; only a 401 has one more, as its description says."""
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema and name != "Problem":
            schema["additionalProperties"] = False
    return document
