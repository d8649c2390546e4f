"""The examples of docs/extending.md are put where the page says, and pass the suites of their contracts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, Page


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the project with the examples in it, and the paths of these."""
    copy = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("backupman", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)
    examples = []
    for block in Page(ROOT / "docs/extending.md").blocks("python"):
        [_, path] = block.info.split()
        assert not (copy / path).exists(), f"{path} is the project's own now: give the example another name"
        (copy / path).write_text(block.text, encoding="utf-8")
        examples.append(path)
    return copy, examples


@pytest.mark.service("sqlite3")
def test_the_examples_pass_their_contracts(project: tuple[Path, list[str]]) -> None:
    copy, examples = project
    tests = [path for path in examples if path.startswith("tests/")]
    assert len(tests) == 3
    ended = run(copy, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests)
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert "skipped" not in ended.stdout


def test_the_examples_are_written_like_the_rest(project: tuple[Path, list[str]]) -> None:
    copy, examples = project
    for words in (["check"], ["format", "--check", "--diff"]):
        ended = run(copy, "ruff", *words, "--no-cache", *examples)
        assert ended.returncode == 0, ended.stdout


def run(copy: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=copy, env=env, capture_output=True, text=True, timeout=110, check=False
    )
