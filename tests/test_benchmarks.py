"""The programs under benchmarks/ start, say what can be chosen, and are on the page of what they measure."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted(ROOT.glob("benchmarks/bench_*.py"))
PAGE = (ROOT / "docs/performance.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_every_program_starts_and_says_what_it_measures(program: Path) -> None:
    done = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "usage:" in said
    assert said.count(".") > 0  # its docstring, which tells what is compared
    assert done.stderr == ""


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_every_program_is_on_the_page(program: Path) -> None:
    assert f"| `{program.name}` |" in PAGE
