"""The notifiers' pages: every example loads, every key is explained, and the code in them works."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import backupman
from backupman.notifiers import Notifier
from backupman.notifiers._report import render
from backupman.notifiers.mail import Destination, Mail
from backupman.notifiers.webhook import Webhook, WebhookSettings, body_of
from tests.contracts.notifier import message
from tests.notifiers.test_webhook import OTHER_SECRET, SECRET, endpoint

PAGES = Path(backupman.__file__).parents[1] / "docs" / "notifiers"
CASES: list[tuple[str, type[Notifier], str, type[BaseModel]]] = [
    ("mail", Mail, "destinations", Destination),
    ("webhook", Webhook, "endpoints", WebhookSettings),
]


def code(page: str, language: str) -> list[str]:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def examples(page: str) -> list[dict[str, Any]]:
    """The notifier's blocks, minimal and full."""
    return [yaml.safe_load(text)["notifiers"][page] for text in code(page, "yaml")]


def keys(model: type[BaseModel]) -> dict[str, str | None]:
    return {info.alias or name: info.description for name, info in model.model_fields.items()}


@pytest.mark.parametrize(("page", "cls", "list_name", "item"), CASES)
def test_the_examples_load_without_a_warning(
    page: str, cls: type[Notifier], list_name: str, item: type[BaseModel]
) -> None:
    minimal, full = examples(page)
    for block in (minimal, full):
        notifier = cls.model_validate(block)
        assert notifier.warnings() == []
        assert len(notifier.endpoints()) == len(block[list_name])
    assert set(full) == set(keys(cls))
    assert {key for entry in full[list_name] for key in entry} | {"secret"} == set(keys(item)) | {"secret"}


@pytest.mark.parametrize(("page", "cls", "list_name", "item"), CASES)
def test_every_key_is_explained(page: str, cls: type[Notifier], list_name: str, item: type[BaseModel]) -> None:
    rows = (PAGES / f"{page}.md").read_text(encoding="utf-8").splitlines()
    for key, description in {**keys(cls), **keys(item)}.items():
        assert [row for row in rows if row.startswith(f"| `{key}` |") and row.endswith(f"| {description} |")], key


def test_the_webhook_page_shows_the_body_that_is_sent() -> None:
    [shown] = code("webhook", "json")
    assert re.sub(r"\n *", "", shown).replace('": ', '":') == body_of(message(), extended=False).decode()


def test_the_webhook_page_names_every_extended_field() -> None:
    text = (PAGES / "webhook.md").read_text(encoding="utf-8")
    payload = message().payload
    for key in (*payload, *payload["DriveFiles"][0]):
        assert f"`{key}`" in text or f'"{key}"' in text, key


@pytest.mark.parametrize("sign_with", [{"secret": SECRET}, {"secrets": [OTHER_SECRET, SECRET]}])
def test_the_webhook_page_verifies_signatures(sign_with: dict[str, Any]) -> None:
    [lines] = code("webhook", "python")
    request = endpoint(**sign_with).request(message())

    def genuine(body: bytes = request.content, secret: str = SECRET, seconds_off: int = 0) -> bool:
        names: dict[str, Any] = {"headers": dict(request.headers), "body": body, "secret": secret}
        names["headers"]["webhook-timestamp"] = str(int(request.headers["webhook-timestamp"]) + seconds_off)
        exec(lines, names)  # noqa: S102 - the page's own lines are what is tested
        return bool(names["genuine"])

    assert genuine()
    assert not genuine(body=request.content + b" ")
    assert not genuine(secret="whsec_" + "A" * 32)
    assert not genuine(seconds_off=1)

    request = replace(endpoint(**sign_with), clock=lambda: datetime.now(UTC) - timedelta(seconds=302)).request(
        message()
    )
    assert not genuine(request.content)


def test_the_mail_page_shows_a_template_that_works(tmp_path: Path) -> None:
    [template] = code("mail", "jinja")
    (tmp_path / "backup_report.html.j2").write_text(template)
    assert "Call the night shift" in render(message(), tmp_path, "mail").html
