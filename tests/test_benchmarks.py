"""The programs under benchmarks/ start, say what can be chosen, and are on the page of what they measure."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted(ROOT.glob("benchmarks/bench_*.py"))
PAGE = (ROOT / "docs/performance.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_every_program_starts_and_says_what_it_measures(program: Path) -> None:
    argv, wide = [sys.executable, str(program), "--help"], {**os.environ, "COLUMNS": "10000"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, env=wide)
    assert (done.returncode, done.stderr) == (0, "")
    told = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
    assert told
    assert " ".join(told.split()) in " ".join(done.stdout.split())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_every_program_is_on_the_page(program: Path) -> None:
    assert f"| `{program.name}` |" in PAGE
