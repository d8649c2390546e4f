"""The distributions that are built from the checkout, and a fresh environment with one of them and nothing optional."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.pages import ROOT


@dataclass(frozen=True)
class Distributions:
    """What `python -m build` would make: the sdist, a wheel of the checkout, and a wheel of the unpacked sdist."""

    sdist: Path
    wheel: Path
    wheel_of_sdist: Path

    @property
    def requirements(self) -> list[str]:
        """What the wheel asks for, extras included."""
        with zipfile.ZipFile(self.wheel_of_sdist) as wheel:
            [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
            return Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist", [])


@dataclass(frozen=True)
class Bare:
    """An environment of its own, from which neither the checkout nor a package of an extra can be seen."""

    folder: Path
    home: Path

    def environment(self, cwd: Path) -> dict[str, str]:
        """Hardly anything: an empty home, where ordinary programs are, and where records go."""
        kept = {"XDG_STATE_HOME": str(cwd / "state"), "LANG": "C.UTF-8", "COLUMNS": "200"}
        return {"HOME": str(self.home), "PATH": os.defpath, **kept}

    def command(self, *words: str) -> list[str]:
        """The argv of the installed program."""
        return [str(self.folder / "bin/backupman"), *words]

    def run(self, cwd: Path, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the installed program to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=cwd,
            env=self.environment(cwd),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """All distributions, built without the package index."""
    made = tmp_path_factory.mktemp("distributions")
    _build("sdist", ROOT, made)
    _build("wheel", ROOT, made)
    [sdist], [wheel] = made.glob("*.tar.gz"), made.glob("*.whl")
    (made / "unpacked").mkdir()
    subprocess.run(["tar", "-xzf", sdist, "-C", made / "unpacked"], check=True, timeout=300)
    [unpacked] = (made / "unpacked").iterdir()
    _build("wheel", unpacked, made / "again")
    [wheel_of_sdist] = (made / "again").glob("*.whl")
    return Distributions(sdist, wheel, wheel_of_sdist)


def _build(kind: str, source: Path, into: Path) -> None:
    argv = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(into)]
    subprocess.run(argv, cwd=source, check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="session")
def bare(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """The wheel installed into a fresh environment. The packages that it asks for are links to those of the tests."""
    base = tmp_path_factory.mktemp("bare")
    folder, home = base / "venv", base / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=300)
    [packages] = folder.glob("lib/python*/site-packages")
    for package in closure(distributions.requirements):
        for name, source in {_whole(source, name) for source, name in _files(package)}:
            target = packages / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
    pip = [sys.executable, "-m", "pip", "--isolated", "--python", str(folder / "bin/python")]
    wheel = str(distributions.wheel_of_sdist)
    subprocess.run([*pip, "install", "--no-index", "--no-deps", wheel], check=True, capture_output=True, timeout=300)
    return Bare(folder, home)


def closure(requirements: list[str]) -> list[metadata.Distribution]:
    """The packages that these requirements lead to without any extra, as they are installed here."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(requirement, "") for requirement in requirements]
    while waiting:
        text, extra = waiting.pop()
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        package = metadata.distribution(name)
        waiting += [(needed, wanted) for wanted in requirement.extras for needed in package.requires or []]
        if name not in found:
            found[name] = package
            waiting += [(needed, "") for needed in package.requires or []]
    return list(found.values())


def size(package: metadata.Distribution) -> int:
    """The bytes of its files, without the bytecode that Python makes of them."""
    return sum(source.stat().st_size for source, _ in _files(package))


def _files(package: metadata.Distribution) -> Iterator[tuple[Path, Path]]:
    """Where each of its files is, and where among the packages it belongs; programs are left out."""
    for file in package.files or []:
        source = Path(str(file.locate()))
        if ".." not in file.parts and file.suffix != ".pyc" and source.is_file():
            yield source, Path(*file.parts)


def _whole(source: Path, name: Path) -> tuple[Path, Path]:
    """The outermost folder of Python that a file is in, where it belongs and where it is; else the file itself.

    As a whole it brings its bytecode along, which would have to be made anew. A namespace is shared and no such folder.
    """
    site = Path(*source.parts[: -len(name.parts)])
    folders = [folder for folder in name.parents if (site / folder / "__init__.py").is_file()]
    found = folders[-1] if folders else name
    return found, site / found
