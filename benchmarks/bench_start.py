"""How long commands take to start: `backupman version` by a bare Python, `backupman list` by importing SQLModel."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from _daemon import write_config
from _history import fill
from _measure import in_turn, ratio, spread, tell, title, told_ratio, workplace

BACKUPS = 100_000
HEAVY = ("sqlalchemy", "sqlmodel", "alembic", "pydantic", "yaml", "rich", "fastapi", "uvicorn", "httpx", "boto3")
PYTHON = sys.executable


def main() -> None:
    """Measure both, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=11)
    asked, _ = parser.parse_known_args()
    title(f"Starting; medians of {asked.turns} turns")
    with workplace() as folder:
        start(folder, asked.turns)


def start(folder: Path, turns: int) -> None:
    """The ratios and what they are made of."""
    config = write_config(
        folder, data_sources=[{"provider": "sqlite", "label": "Notes", "db_path": str(folder / "notes.db")}]
    )
    fill(config, BACKUPS)
    program = str(Path(PYTHON).with_name("backupman"))
    commands = {
        "python -c pass": [PYTHON, "-c", "pass"],
        "backupman version": [program, "version"],
        "python -c 'import sqlmodel'": [PYTHON, "-c", "import sqlmodel"],
        f"backupman list, of {BACKUPS:,} backups": [program, "list", "-c", str(config)],
    }
    taken = in_turn(turns, {name: lambda argv=argv: seconds(argv) for name, argv in commands.items()})  # type: ignore[misc]
    for name, figures in taken.items():
        tell(name, spread(figures))
    bare, version, imported, listed = taken.values()
    told_ratio("backupman version / python -c pass", ratio(version, bare), 20)
    told_ratio("backupman list / python -c 'import sqlmodel'", ratio(listed, imported), 1.7)
    found = heavy(["version"])
    tell("heavy modules that `backupman version` imports", ", ".join(found) or "none", "none", met=not found)


def seconds(argv: list[str]) -> float:
    """How long a command takes."""
    started = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, env=dict(os.environ) | {"COLUMNS": "120"})
    return time.perf_counter() - started


def heavy(words: list[str]) -> list[str]:
    """Which of the heavy modules a command has imported by its end."""
    code = (
        "import sys, contextlib\n"
        "from backupman.__main__ import main\n"
        f"sys.argv = ['backupman', *{words!r}]\n"
        "with contextlib.suppress(SystemExit): main()\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], sep='\\n', file=sys.stderr)"
    )
    return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stderr.split()


if __name__ == "__main__":
    main()
