"""Providers are found by their file's name, imported when they are configured, and keep their secrets."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from backupman import registry
from backupman.drives import Drive
from backupman.errors import BackupmanError, ConfigError
from backupman.registry import Duration, Provider, Settings, names, nearest, provider_class
from backupman.sources import Source

ROOT = Path(registry.__file__).parent.parent


@pytest.mark.parametrize(("family", "known"), [("sources", "sqlite"), ("drives", "local"), ("notifiers", "webhook")])
def test_every_file_without_an_underscore_is_a_provider(family: str, known: str) -> None:
    files = Path(registry.__file__).parent.joinpath(family).glob("[!_]*.py")
    assert names(family) == sorted(file.stem for file in files)
    assert known in names(family)


def test_a_provider_is_found_by_its_name() -> None:
    cls = provider_class("drives", Drive, "local")  # type: ignore[type-abstract]  # looked up by name
    assert issubclass(cls, Drive)
    assert cls.__module__ == "backupman.drives.local"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("sqllite", "; did you mean 'sqlite'?"), ("_process", ""), ("", ""), ("../drives/local", ""), ("os", "")],
)
def test_an_unknown_provider_is_met_with_the_known_ones(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        provider_class("sources", Source, name)  # type: ignore[type-abstract]  # looked up by name
    assert refused.value.sentence.startswith(f"unknown provider {name!r}{hint}; known are command, ")


def test_only_what_is_configured_is_imported() -> None:
    program = (
        "import sys; from backupman import registry; from backupman.drives import Drive\n"
        "registry.provider_class('drives', Drive, 'local'); registry.names('drives')\n"
        "print(sorted(name for name in sys.modules if name.startswith(('backupman.drives.', 'boto3'))))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "backupman.drives.local" in found.stdout
    assert "backupman.drives.s3" not in found.stdout
    assert "boto3" not in found.stdout


def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """Put a provider `odd` with this text into the family `drives`."""
    (tmp_path / "odd.py").write_text(text, encoding="utf-8")
    package = sys.modules["backupman.drives"]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "backupman.drives.odd", raising=False)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module(monkeypatch, tmp_path, "import nowhere_sdk\n")
    with pytest.raises(ConfigError, match=r"odd needs the package nowhere_sdk: pip install 'backupman.all.'"):
        provider_class("drives", Drive, "odd")  # type: ignore[type-abstract]  # looked up by name


def test_a_file_without_a_provider_is_our_own_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module(monkeypatch, tmp_path, "from backupman.drives import Drive\nfrom backupman.drives.local import *\n")
    with pytest.raises(BackupmanError, match=r"odd\.py holds 0 providers instead of one"):
        provider_class("drives", Drive, "odd")  # type: ignore[type-abstract]  # looked up by name


@pytest.mark.parametrize(
    ("word", "hint"),
    [("bukcet", "; did you mean 'bucket'?"), ("regoin", "; did you mean 'region'?"), ("zzz", ""), ("", "")],
)
def test_the_nearest_known_word_is_offered(word: str, hint: str) -> None:
    assert nearest(word, ["bucket", "region"]) == hint


class Login(Settings):
    """A block in a block."""

    token: SecretStr


class Vault(Provider):
    """A provider with secrets everywhere."""

    label: str
    password: SecretStr | None = None
    headers: dict[str, SecretStr] = Field(default={})
    keys: list[SecretStr] = Field(default=[])
    login: Login | None = None
    timeout: Duration = timedelta(seconds=1)
    folder: Path = Path()
    renamed: str = Field(default="", alias="re-named")


VAULT = {
    "label": "a S3cret-1",
    "password": "S3cret-1",
    "headers": {"Authorization": "Bearer S3cret-2"},
    "keys": ["S3cret-3", ""],
    "login": {"token": "S3cret-1-longer"},
    "timeout": "500ms",
    "folder": "a/b",
    "re-named": "x",
}


def test_a_provider_knows_and_hides_all_of_its_secrets() -> None:
    vault = Vault.model_validate(VAULT)
    assert set(vault.secrets()) == {"S3cret-1", "Bearer S3cret-2", "S3cret-3", "S3cret-1-longer"}
    assert vault.redact("say S3cret-1-longer, S3cret-1 and Bearer S3cret-2!") == "say ***, *** and ***!"
    shown = repr(vault) + str(vault) + vault.model_dump_json(exclude={"label"}) + repr(vault.model_dump())
    assert "S3cret" not in shown.replace("a S3cret-1", "")


def test_a_secret_is_hidden_without_the_blanks_that_a_file_has_around_it() -> None:
    vault = Vault(label="a", password=SecretStr(" S3cret-1 \n"), keys=[SecretStr(" ")])
    assert list(vault.secrets()) == ["S3cret-1"]
    assert vault.redact("the key S3cret-1.") == "the key ***."


def test_what_is_revealed_to_the_child_makes_the_same_provider() -> None:
    vault = Vault.model_validate(VAULT)
    revealed = vault.revealed()
    assert revealed["password"] == "S3cret-1"
    assert revealed["headers"] == {"Authorization": "Bearer S3cret-2"}
    assert Vault.model_validate(revealed) == vault
    assert Vault.model_validate({"label": "b"}).revealed() == {"label": "b"}


def test_a_block_is_frozen_and_strict() -> None:
    vault = Vault.model_validate(VAULT)
    with pytest.raises(ValueError, match="frozen"):
        vault.label = "c"  # type: ignore[misc]  # that it cannot be done is the point
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Vault.model_validate(VAULT | {"passwort": "x"})
