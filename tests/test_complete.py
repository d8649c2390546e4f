"""Nothing is left out: every provider has a contract test, a page and an example; every option and key is explained."""

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from backupman import registry
from backupman.cli import program
from backupman.config import Config
from backupman.drives import Drive
from backupman.notifiers import Notifier
from backupman.registry import Provider
from backupman.retention import Retention
from backupman.sources import Source
from tests.contracts.drive import DriveContract
from tests.contracts.notifier import NotifierContract
from tests.contracts.source import SourceContract
from tests.pages import ROOT, Page

FAMILIES: dict[str, tuple[type[Provider], type]] = {
    "sources": (Source, SourceContract),
    "drives": (Drive, DriveContract),
    "notifiers": (Notifier, NotifierContract),
}
PROVIDERS = [(family, name) for family in FAMILIES for name in registry.names(family)]

EXAMPLE = (ROOT / "config.example.yml").read_text(encoding="utf-8")
CLI_PAGE = Page(ROOT / "docs/cli.md")
CONFIG_PAGE = Page(ROOT / "docs/configuration.md")


def settings(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a block and of the blocks in it; what a provider brings stands on the provider's page."""
    for name, info in model.model_fields.items():
        yield info.alias or name
        for inner in blocks_in(info.annotation):
            if not issubclass(inner, Source | Drive | Notifier):
                yield from settings(inner)


def blocks_in(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for argument in getattr(annotation, "__args__", ()) for block in blocks_in(argument)]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


COMMANDS = list(commands(typer.main.get_command(program())))


def options(command: Any) -> set[str]:
    """The long names of a command's options, and the names of its arguments as its help shows them."""
    return {
        max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.metavar or parameter.name
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
    }


@pytest.mark.parametrize(("family", "name"), PROVIDERS)
def test_every_provider_passes_the_contract_of_its_family(family: str, name: str) -> None:
    contract = FAMILIES[family][1]
    module = importlib.import_module(f"tests.{family}.test_{name}")
    suites = [
        found
        for title, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, contract) and title.startswith("Test") and found.__module__ == module.__name__
    ]
    assert suites, f"no class in tests/{family}/test_{name}.py is a {contract.__name__}"


@pytest.mark.parametrize(("family", "name"), PROVIDERS)
def test_every_provider_has_a_page_with_all_its_settings(family: str, name: str) -> None:
    page = Page(ROOT / f"docs/{family}/{name}.md")
    assert page.path.exists()
    cls = registry.provider_class(family, FAMILIES[family][0], name)
    elsewhere = set(settings(Retention))  # have a page of their own
    missing = [key for key in settings(cls) if f"`{key}" not in page.text and key not in elsewhere]
    assert missing == [], f"{page} does not explain them"


@pytest.mark.parametrize(("family", "name"), PROVIDERS)
def test_every_provider_has_an_example(family: str, name: str) -> None:
    entry = rf"^[ #]*{name}:" if family == "notifiers" else rf"^[ #-]*provider: {name}\b"
    assert re.search(entry, EXAMPLE, re.MULTILINE), "config.example.yml has no entry for it"


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_and_option_is_explained(path: tuple[str, ...], command: Any) -> None:
    words = " ".join(("backupman", *path))
    section = CLI_PAGE.section(words)
    assert section, f"docs/cli.md has no heading that ends with `{words}`"
    shared = CLI_PAGE.section("Options of every command")
    missing = sorted(option for option in options(command) if f"`{option}" not in section + shared)
    assert missing == [], f"docs/cli.md does not explain them under `{words}`"


def test_the_page_of_the_commands_is_up_to_date() -> None:
    argv = [sys.executable, "scripts/cli-docs", "--check"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("key", sorted(set(settings(Config))))
def test_every_key_of_the_config_is_explained(key: str) -> None:
    assert f"`{key}" in CONFIG_PAGE.text, "docs/configuration.md does not explain it"
