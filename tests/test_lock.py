"""requirements.lock keeps up with pyproject.toml, and names versions and hashes only."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def normal(requirement: str) -> str:
    """The name of a requirement, spelled as in the lock."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_everything_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    groups = project["dependency-groups"].values()
    asked = {
        normal(requirement)
        for requirements in (project["project"]["dependencies"], project["build-system"]["requires"], *extras, *groups)
        for requirement in requirements
    }
    pinned = set(re.findall(r"^([\w.-]+)==", LOCK, re.MULTILINE))
    assert asked - pinned - {"backupman"} == set(), "run: make lock"


def test_every_line_is_a_version_a_hash_or_a_comment() -> None:
    shape = re.compile(r"[\w.-]+==[\w.+!-]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|    #.*")
    assert [line for line in LOCK.splitlines() if not shape.fullmatch(line)] == []
    assert "://" not in LOCK
