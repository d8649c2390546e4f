"""The wheel and the sdist hold what the program needs, nothing of the developers' own, and one makes the other."""

import tarfile
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from tests.install.conftest import Distributions, closure, size
from tests.pages import ROOT

LIMIT = 60_000_000


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_sdist_builds_the_same_wheel(distributions: Distributions) -> None:
    ours, again = contents(distributions.wheel), contents(distributions.wheel_of_sdist)
    assert sorted(again) == sorted(ours)
    assert [name for name in ours if again[name] != ours[name]] == []


def test_the_wheel_holds_every_file_of_the_package(distributions: Distributions) -> None:
    package = ROOT / "backupman"
    there = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in there} >= {".py", ".j2", ".css", ".js", ".yml"}
    files = contents(distributions.wheel_of_sdist)
    assert [path for path in there if str(path.relative_to(ROOT)) not in files] == []


def test_the_wheel_holds_the_package_alone(distributions: Distributions) -> None:
    folders = {Path(name).parts[0] for name in contents(distributions.wheel_of_sdist)}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"backupman"}


def test_the_sdist_holds_what_people_read(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        names = {str(Path(*Path(name).parts[1:])) for name in archive.getnames()}
    assert names >= {"README.md", "LICENSE", "CHANGELOG.md", "config.example.yml", "pyproject.toml", "docs/index.md"}
    assert [name for name in names if name.startswith((".venv", "build", "dist", "demo"))] == []


def test_a_bare_install_is_small(distributions: Distributions) -> None:
    """Counted as the packages hold it: bytecode that pip makes of it comes to a good half as much again."""
    sizes = {package.name: size(package) for package in closure(distributions.requirements)}
    assert "sqlalchemy" in {name.lower() for name in sizes}
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert sum(sizes.values()) < LIMIT, f"the heaviest are {heaviest}"


def test_all_is_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = dict(project["optional-dependencies"])
    [everything] = extras.pop("all")
    assert Requirement(everything).extras == set(extras)
