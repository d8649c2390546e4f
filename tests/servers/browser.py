"""A real Chromium without a window, driven by Playwright, and axe-core, which says what keeps people out of a page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.servers import program, unavailable

# As root it starts only without its sandbox; the rest keeps it from asking its maker's hosts for anything.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]

_AXE = Path(__file__).parents[2] / ".venv/axe/node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of a module: while it lives, no other test of this thread could have an event loop of its own."""
    path = program("chromium", "browser")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


def axe() -> str:
    """The source of axe-core, as scripts/test-servers has fetched it."""
    return _AXE.read_text() if _AXE.exists() else unavailable("browser", "axe-core is not there: scripts/test-servers")
