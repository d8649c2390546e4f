"""The reference at `/docs` and the OpenAPI document: whole, for everybody, and without a word to anybody else."""

import re

import httpx
import jsonschema

from tests.api.conftest import KEYS, Api


def test_the_page_needs_nothing_from_anywhere_else(api: Api) -> None:
    with api.client(None) as client:
        answer = client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert (
        re.findall(r"<(script|link|img|iframe|object|form)\b|\bsrc=|@import|url\(|https?://|\bon\w+=", answer.text)
        == []
    )
    assert re.findall(r'href="([^"]*)"', answer.text) == ["openapi.json"]


def test_the_page_names_every_route_with_its_scope_and_every_parameter_and_field(api: Api) -> None:
    with api.client(None) as client:
        page = client.get("/docs").text
        document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            (article,) = re.findall(rf"<h2>{method.upper()} {re.escape(path)}[ <].*?</article>", page, re.DOTALL)
            scopes = {scope for way in operation.get("security", []) for names in way.values() for scope in names}
            assert set(re.findall(r"needs a key with the scope (\w+)", article)) == scopes
            body = operation.get("requestBody", {"content": {"application/json": {"schema": {}}}})
            fields = body["content"]["application/json"]["schema"].get("properties", {})
            named = [each["name"] for each in operation.get("parameters", [])] + list(fields)
            assert [name for name in named if f"<dt>{name} " not in article] == []


def test_the_document_is_for_programs(shared: httpx.Client) -> None:
    document = shared.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        missing = [field for field, told in schema.get("properties", {}).items() if not told.get("description")]
        assert missing == [], f"{name} does not say what they are"
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)
    assert not any(key in str(document) for key in KEYS.values())
