"""The documentation as it is built for a browser: no broken link, nothing from anywhere else, open to everybody."""

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Request

from tests.pages import ROOT
from tests.servers.browser import axe, browser

__all__ = ["browser"]

SHOWN = ["docs/index.html", "docs/quickstart.html", "docs/drives/s3.html", "search.html"]
LOOKS: list[tuple[int, Literal["light", "dark"]]] = [(1400, "light"), (1400, "dark"), (390, "dark")]
OF_THE_THEME = {"landmark-unique", "page-has-heading-one"}
"""What axe calls moderate in Furo's own frame: two side bars without names, and a search without a heading."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages; a link that leads nowhere or a page that no menu has is a warning, and a warning is an error."""
    built = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-c", "docs", "-d", f"{built}.cache"]
    argv = [sys.executable, "-m", "sphinx", *options, ".", str(built)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return built


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


@pytest.mark.timeout(300)
def test_every_page_is_built_and_loads_nothing_from_anywhere_else(site: Path) -> None:
    wanted = {path.relative_to(ROOT).with_suffix(".html") for path in ROOT.glob("docs/**/*.md")}
    assert wanted <= {path.relative_to(site) for path in site.rglob("*.html")}
    elsewhere = re.compile(r"""(?:\bsrc|<link[^>]*\bhref)=["'](?:https?:)?//|url\(["']?(?:https?:)?//|@import""")
    read = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(read) > 50
    assert [str(path) for path in read if elsewhere.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.timeout(300)
def test_nothing_keeps_anybody_out(page: Page, site: Path) -> None:
    """Narrow and wide, by day and by night; in one test, because every worker would build a site of its own."""
    source, asked = axe(), []

    def note(request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            asked.append(request.url)

    page.on("request", note)
    for name, (width, scheme) in product(SHOWN, LOOKS):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.goto((site / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
        page.evaluate(source)
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        grave = [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["id"] not in OF_THE_THEME]
        assert grave == [], (name, width, scheme)
    assert asked == []
