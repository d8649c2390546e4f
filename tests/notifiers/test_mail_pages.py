"""The mails as pages in a real browser: they fit any width, follow the light or dark setting, and can be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from backupman.notifiers._report import render
from tests.contracts.notifier import EVENTS, ODD_TEXTS, message
from tests.servers.browser import axe

pytestmark = pytest.mark.service("browser")

Scheme = Literal["light", "dark"]
SORTS = ("backup_start", "backup_success", "backup_failure", "verify_failure", "prune_report", "alarm_drill")
"""One of each sort of page: of each colour, with drives, with copies, with a reason alone."""
LONG = ODD_TEXTS["one long word"][:300]
WIDER = "document.documentElement.scrollWidth - window.innerWidth"
COLOURS = "[getComputedStyle(document.body).color, getComputedStyle(document.querySelector('h1')).color]"
FAULTS = """async () => (await axe.run({runOnly: ['wcag2a', 'wcag2aa']})).violations.map(
    each => each.help + ': ' + each.nodes.map(node => node.html + ' ' + node.failureSummary))"""


@contextmanager
def page(browser: Browser, scheme: Scheme = "light") -> Iterator[Page]:
    """A page that cannot load anything from elsewhere."""
    with browser.new_context(color_scheme=scheme, offline=True) as context:
        yield context.new_page()


@pytest.mark.parametrize("text", ["", LONG], ids=["usual", "long"])
def test_every_mail_fits_any_width(browser: Browser, text: str) -> None:
    with page(browser) as shown:
        for kind in EVENTS:
            shown.set_content(render(message(kind, text), None, "mail", log=f"2025-07-02T10:00:00Z INFO {text}").html)
            for width in (320, 360, 800):
                shown.set_viewport_size({"width": width, "height": 800})
                assert shown.evaluate(WIDER) <= 0, f"{kind} is wider than {width}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_mails_can_be_read(browser: Browser, scheme: Scheme) -> None:
    with page(browser, scheme) as shown:
        for kind in SORTS:
            shown.set_content(render(message(kind), None, "mail").html)
            # which axe takes for white where nobody sets it
            shown.evaluate("document.body.style.background = 'Canvas'")
            shown.add_script_tag(content=axe())
            assert shown.evaluate(FAULTS) == [], kind


def test_the_reader_sets_light_or_dark(browser: Browser) -> None:
    found = []
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        with page(browser, scheme) as shown:
            shown.set_content(render(message("backup_failure"), None, "mail").html)
            found.append(shown.evaluate(COLOURS))
    assert found == [["rgb(0, 0, 0)"] * 2, ["rgb(255, 255, 255)"] * 2]
