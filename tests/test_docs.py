"""The documentation says what is so: its configs load, its commands exist, its links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.config import Config, load
from tests.calls import must_be_a_call
from tests.pages import ROOT, Block, Command, Page, pages

PAGES = pages()
COMMANDS = [command for page in PAGES for command in page.commands()]
CONFIGS = [block for page in PAGES for block in page.blocks("yaml", "yml")]

# What a block of some sections only is put into, to be a whole config.
REST = {
    "data_sources": [{"provider": "sqlite", "label": "app", "db_path": "/srv/app/app.sqlite"}],
    "drives": [{"provider": "local", "label": "disk", "folder": "/srv/backups"}],
}
# Files of another format that the pages show too: Compose's, and Prometheus'.
FOREIGN = {"services", "groups", "scrape_configs"}


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_every_config_loads(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block with `data_sources` and `drives` is a whole config; any other is loaded with the missing ones added."""
    sections: Any = yaml.safe_load(block.text)
    assert isinstance(sections, dict), "a yaml block shows a config or sections of one"
    if FOREIGN & set(sections):
        return
    rest = {key: value for key, value in REST.items() if key not in sections}
    whole = block.text + (yaml.safe_dump(rest) if rest else "")
    whole = re.sub(r"\$\{(file|credential):[^}]+\}", "stands-elsewhere", whole)
    for variable in re.findall(r"\$\{(\w+)\}", whole):
        monkeypatch.setenv(variable, "from-the-environment")
    path = tmp_path / "config.yml"
    path.write_text(whole, encoding="utf-8")
    assert isinstance(load(path).config, Config)


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS), ids=str)
def test_every_command_exists(command: Command) -> None:
    must_be_a_call(command.words, whole=command.typed)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Page) -> None:
    for target in page.links():
        file, _, anchor = target.partition("#")
        path = (page.path.parent / file).resolve() if file else page.path
        assert path.exists(), f"{page}: there is no {target}"
        assert path.is_relative_to(ROOT), f"{page}: {target} leads out of the project"
        if anchor:
            assert anchor in Page(path).anchors(), f"{page}: {target} names no heading"


def test_every_page_can_be_found_from_the_index() -> None:
    reached, left = set(), [ROOT / "docs/index.md"]
    while left:
        page = Page(left.pop())
        if page.path not in reached:
            reached.add(page.path)
            targets = (page.path.parent / target.split("#")[0] for target in page.links())
            left += [target.resolve() for target in targets if target.suffix == ".md"]
    assert [str(page) for page in PAGES if page.path.is_relative_to(ROOT / "docs") and page.path not in reached] == []


def test_the_pages_were_read() -> None:
    """Guards the guards: a reader that finds nothing would pass everything."""
    assert len(PAGES) > 10
    assert len(COMMANDS) > 30
    assert len(CONFIGS) > 10
