"""The notifiers' pages: every example loads, the full one shows every key, and the code in them works."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import BaseModel

import backupman
from backupman import registry
from backupman.events import BackupExtended, BackupReport, DriveFileExtended, DriveFileReport
from backupman.notifiers import Notifier
from backupman.notifiers._formats import backupman as backupman_body
from backupman.notifiers._report import render
from tests.contracts.notifier import message
from tests.notifiers.test_webhook import OTHER_SECRET, SECRET, endpoint

PAGES = Path(backupman.__file__).parents[1] / "docs" / "notifiers"
PROVIDERS = registry.names("notifiers")
INSTEAD = [
    *({"events", "states"}, {"secret", "secrets"}, {"itemid", "host", "key"}),
    *({"access_token", "username", "password"}, {"api_key", "username", "password"}),
]
"""Keys that do not stand beside each other."""
WARNS = {"cronhub": "shut down"}
"""Providers that nobody should take any more, and what they say of themselves."""


def code(page: str, language: str) -> list[str]:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def examples(page: str) -> list[dict[str, Any]]:
    """The notifier's blocks, minimal and full."""
    return [yaml.safe_load(text)["notifiers"][page] for text in code(page, "yaml")]


def provider(page: str) -> type[Notifier]:
    return registry.provider_class("notifiers", Notifier, page)  # type: ignore[type-abstract]  # looked up by name


def left_out(model: type[BaseModel], blocks: list[dict[str, Any]]) -> Iterator[str]:
    """The keys that stand in none of these blocks of the model, nor deeper."""
    shown = {key for block in blocks for key in block}
    for name, info in model.model_fields.items():
        key = info.alias or name
        if not shown & next((keys for keys in INSTEAD if key in keys), {key}):
            yield key
    for inner in {inner for info in model.model_fields.values() for inner in models(info.annotation)}:
        keys = [info.alias or name for name, info in model.model_fields.items() if inner in models(info.annotation)]
        values = [block.get(key) for block in blocks for key in keys]
        found = [value if isinstance(value, list) else [value] for value in values]
        yield from left_out(inner, [item for items in found for item in items if isinstance(item, dict)])


def models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in models(argument)]


@pytest.mark.parametrize("page", PROVIDERS)
def test_the_examples_load_without_a_warning(page: str) -> None:
    cls = provider(page)
    for block in examples(page):
        notifier = cls.model_validate(block)
        assert len(notifier.endpoints()) > 0
        assert [warning for warning in notifier.warnings() if WARNS.get(page, "\n") not in warning] == []


@pytest.mark.parametrize("page", PROVIDERS)
def test_the_full_example_shows_everything(page: str) -> None:
    minimal, full = examples(page)
    assert len(minimal) < len(full)
    assert list(left_out(provider(page), [full])) == []


def test_the_webhook_page_shows_the_body_that_is_sent() -> None:
    [shown] = code("webhook", "json")
    assert re.sub(r"\n *", "", shown).replace('": ', '":') == backupman_body(message(), extended=False).decode()


def test_the_page_on_events_names_every_field_that_extended_adds() -> None:
    text = (PAGES.parent / "events.md").read_text(encoding="utf-8")
    [known] = re.findall(r"### Everything that is known\n(.*?)\n###? ", text, re.DOTALL)
    _, of_backup, of_file = known.split("\n| of a")
    for table, more, fewer in (
        (of_backup, BackupExtended, BackupReport),
        (of_file, DriveFileExtended, DriveFileReport),
    ):
        added = {field.alias for name, field in more.model_fields.items() if name not in fewer.model_fields}
        assert {
            key for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for key in row.split("`")[1::2]
        } == added


@pytest.mark.parametrize("sign_with", [{"secret": SECRET}, {"secrets": [OTHER_SECRET, SECRET]}])
def test_the_webhook_page_verifies_signatures(sign_with: dict[str, Any]) -> None:
    [lines] = code("webhook", "python")
    sent = endpoint(**sign_with).request(message())
    assert sent

    def genuine(
        request: httpx.Request = sent, body: bytes = sent.content, secret: str = SECRET, seconds_off: int = 0
    ) -> bool:
        names: dict[str, Any] = {"headers": dict(request.headers), "body": body, "secret": secret}
        names["headers"]["webhook-timestamp"] = str(int(request.headers["webhook-timestamp"]) + seconds_off)
        exec(lines, names)  # noqa: S102 - the page's own lines are what is tested
        return bool(names["genuine"])

    assert genuine()
    assert not genuine(body=sent.content + b" ")
    assert not genuine(secret="whsec_" + "A" * 32)
    assert not genuine(seconds_off=1)

    late = replace(endpoint(**sign_with), clock=lambda: datetime.now(UTC) - timedelta(seconds=302)).request(message())
    assert late
    assert not genuine(late, late.content)


def test_the_mail_page_shows_a_template_that_works(tmp_path: Path) -> None:
    [template] = code("mail", "jinja")
    (tmp_path / "backup_report.html.j2").write_text(template)
    assert "Call the night shift" in render(message(), tmp_path, "mail").html
