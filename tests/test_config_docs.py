"""The pages about the config, hooks and events say what the code says."""

import re
import subprocess
import sys

import pytest

from backupman.engine.hooks import PLACEHOLDERS
from backupman.events import BackupExtended, DriveFileExtended
from tests.pages import ROOT, Page, pages

EVENTS, HOOKS = Page(ROOT / "docs/events.md"), Page(ROOT / "docs/hooks.md")


def test_the_tables_of_the_config_are_up_to_date() -> None:
    argv = [sys.executable, "scripts/config-docs", "--check"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("view", [BackupExtended, DriveFileExtended])
def test_every_key_of_a_payload_is_explained(view: type[BackupExtended]) -> None:
    keys = [info.alias for info in view.model_fields.values()]
    assert [key for key in keys if f"`{key}`" not in EVENTS.text] == []


@pytest.mark.parametrize("kind", ["backup_start", "backup_report", "backup_success", "backup_failure"])
def test_every_event_of_a_backup_is_explained(kind: str) -> None:
    assert f"| `{kind}` |" in EVENTS.text


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_every_placeholder_is_explained(name: str) -> None:
    assert f"| `{{{name}}}` |" in HOOKS.text
    assert f"`BACKUPMAN_{name.upper()}`" in HOOKS.text


def test_every_key_has_its_type_and_an_example() -> None:
    """The tables say it of all of them: a key that the example config lacks, or whose type has no name, stands out."""
    tables = [
        found for page in pages() for found in re.findall(r"<!-- table: \w+ -->\n(.*?)<!-- end -->", page.text, re.S)
    ]
    rows = [[cell.strip() for cell in line.split(" | ")] for text in tables for line in text.splitlines()[2:]]
    assert len(rows) > 300
    assert [row[0] for row in rows if len(row) != 5 or not row[1] or not row[3]] == []
