"""The documentation says what is so: its configs load, its commands exist, its links lead somewhere."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.config import Config, load
from tests.calls import must_be_a_call
from tests.pages import ROOT, Block, Command, Page, pages
from tests.servers import unavailable
from tests.servers.borgmatic import PYTHON as BORGMATIC

PAGES = pages()
COMMANDS = [command for page in PAGES for command in page.commands()]
BLOCKS = [block for page in PAGES for block in page.blocks()]
CONFIGS = [block for block in BLOCKS if block.info in ("yaml", "yml")]

# What a block of some sections only is put into, to be a whole config.
REST = {
    "data_sources": [{"provider": "sqlite", "label": "app", "db_path": "/srv/app/app.sqlite"}],
    "drives": [{"provider": "local", "label": "disk", "folder": "/srv/backups"}],
}
SHELLS = ("sh", "bash")
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
    whole = re.sub(r"\$\{(file|credential):[^}]+\}", "${STANDS_ELSEWHERE}", whole)
    for variable in re.findall(r"\$\{(\w+)\}", whole):
        monkeypatch.setenv(variable, "from-the-environment")
    path = tmp_path / "config.yml"
    path.write_text(whole, encoding="utf-8")
    assert isinstance(load(path).config, Config)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.info.startswith("yaml ")], ids=str)
def test_configs_of_other_programs_are_what_they_take(block: Block, tmp_path: Path) -> None:
    """borgmatic looks at its own; of GoBackup there is no schema."""
    program = block.info.removeprefix("yaml ")
    path = tmp_path / "config.yml"
    path.write_text(block.text, encoding="utf-8")
    assert yaml.safe_load(block.text)
    if program == "borgmatic":
        if not BORGMATIC.exists():
            unavailable("borgmatic", f"{BORGMATIC} is not there: run scripts/test-servers")
        argv = [str(BORGMATIC), "-m", "borgmatic.commands.borgmatic", "--config", str(path), "config", "validate"]
        env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "MARIADB_PASSWORD": "secret"}
        done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert program == "gobackup"


def test_the_words_of_borgmatic_are_its_own() -> None:
    found = list(BORGMATIC.parents[1].glob("lib/python3*/site-packages/borgmatic/config/schema.yaml"))
    if not found:
        unavailable("borgmatic", "it is not there: run scripts/test-servers")
    schema = found[0].read_text(encoding="utf-8")
    table = Page(ROOT / "docs/moving-from-borgmatic.md").section("Word for word").split("| you typed")[0]
    words = {
        word for row in table.splitlines()[3:] for word in re.findall(r"`([a-z_]+)(?::[^`]*)?`", row.split(" | ")[0])
    }
    assert len(words) > 40
    gone = {"before_backup", "after_backup", "on_error"}  # of earlier versions, which many configs still have
    assert sorted(word for word in words - gone if not re.search(rf"\b{word}\b", schema)) == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.info == "json"], ids=str)
def test_every_document_is_json(block: Block) -> None:
    """A `…` in it stands for more of the same."""
    json.loads(re.sub(r",\s*…|…", "", block.text))


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.info in SHELLS], ids=str)
def test_every_script_is_one_for_a_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_block_says_what_it_is() -> None:
    """What is none of these is looked at by nobody."""
    known = {"yaml", "json", "sql", *SHELLS, "text", "console", "python", "powershell", "jinja"}
    assert [str(block) for block in BLOCKS if (block.info.split() or [""])[0] not in known] == []


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
