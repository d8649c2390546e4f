"""Builds the documentation into pages for a browser: `make docs`. The menu is made of the links in docs/index.md."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

project = "Backupman"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = [".*", "backupman", "build", "demo", "dist", "tests"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "Backupman"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sphinx = False
html_use_index = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

_SECTION = re.compile(r"^##+ (.+)\n((?:(?!#).*\n)*)", re.MULTILINE)
_PAGE = re.compile(r"\]\(([^):]+)\.md\)")
# What the theme leaves out for those who have no mouse, or listen.
_MENDED = (
    ('role="heading"', 'role="heading" aria-level="2"'),
    ("<pre>", '<pre tabindex="0">'),
    ('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
    ('<th class="head"><p></p></th>', "<td></td>"),
)
_REDIRECT = (
    '<!doctype html><html lang="en"><title>Backupman</title>'
    '<meta http-equiv="refresh" content="0; url=docs/index.html">'
    '<a href="docs/index.html">Backupman</a></html>\n'
)


def add_menu(app: Sphinx, page: str, text: list[str]) -> None:
    """Each heading of the index with its links is a part of the menu."""
    if page != root_doc:
        return
    for heading, body in _SECTION.findall(text[0]):
        if pages := _PAGE.findall(body):
            text[0] += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {heading}", *pages, "```\n"])


def let_everybody_in(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """What scrolls can be reached by the keyboard, and headings say their level."""
    for part in {"body", "furo_navigation_tree"} & context.keys():
        for before, after in _MENDED:
            context[part] = context[part].replace(before, after)


def send_to_the_index(app: Sphinx, failure: Exception | None) -> None:
    """Who opens the folder comes to the index, which stands a level below."""
    (Path(app.outdir) / "index.html").write_text(_REDIRECT, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls first."""
    app.connect("source-read", add_menu)
    app.connect("html-page-context", let_everybody_in, priority=900)  # behind the theme
    app.connect("build-finished", send_to_the_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
