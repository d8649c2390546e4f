"""The page at `/docs`: every route of the OpenAPI, made here, without a script and without a word to anybody else."""

from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The reference, for people; `/openapi.json` is the same for programs."""
    page = _template().render(api=request.app.openapi(), operations=_operations(request.app.openapi()))
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


def _operations(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    """Every route: its method, path, description, parameters, body and answers."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "about": operation.get("description", ""),
            "scopes": {scope for way in operation.get("security", []) for scopes in way.values() for scope in scopes},
            "parameters": operation.get("parameters", []),
            "body": _fields(operation),
            "answers": operation["responses"],
        }
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]


def _fields(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    content = operation.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] = content.get("application/json", {}).get("schema", {})
    required = schema.get("required", [])
    return {name: field | {"required": name in required} for name, field in schema.get("properties", {}).items()}


@cache
def _template() -> Template:
    loader = PackageLoader("backupman.api")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("reference.html.j2")
