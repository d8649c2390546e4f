"""The mails as pages in a real browser: they fit any width, follow the light or dark setting, and can be read."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from backupman.notifiers._report import render
from tests.contracts.notifier import EVENTS, ODD_TEXTS, message
from tests.servers.browser import axe

pytestmark = pytest.mark.service("browser")

Scheme = Literal["light", "dark"]
LONG = ODD_TEXTS["one long word"][:300]
WIDER = "document.documentElement.scrollWidth - window.innerWidth"
COLOURS = "[getComputedStyle(document.body).color, getComputedStyle(document.querySelector('h1')).color]"
FAULTS = """async () => (await axe.run({runOnly: ['wcag2a', 'wcag2aa']})).violations.map(
    each => each.help + ': ' + each.nodes.map(node => node.html + ' ' + node.failureSummary))"""


@pytest.fixture(scope="module", params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    scheme: Scheme = request.param
    context = browser.new_context(color_scheme=scheme, offline=True)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("text", ["", LONG], ids=["usual", "long"])
def test_every_mail_fits_any_width(page: Page, text: str) -> None:
    for kind in EVENTS:
        page.set_content(render(message(kind, text), None, "mail", log=f"2025-07-02T10:00:00Z INFO {text}").html)
        for width in (320, 360, 800):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(WIDER) <= 0, f"{kind} is wider than {width}"


def test_every_mail_can_be_read(page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 800})
    for kind in EVENTS:
        page.set_content(render(message(kind), None, "mail").html)
        page.evaluate("document.body.style.background = 'Canvas'")  # which axe takes for white where nobody sets it
        page.add_script_tag(content=axe())
        assert page.evaluate(FAULTS) == [], kind


def test_the_reader_sets_light_or_dark(browser: Browser) -> None:
    found = []
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            shown = context.new_page()
            shown.set_content(render(message("backup_failure"), None, "mail").html)
            found.append(shown.evaluate(COLOURS))
    assert found == [["rgb(0, 0, 0)"] * 2, ["rgb(255, 255, 255)"] * 2]
