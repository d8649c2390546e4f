"""What a shell is offered behind a command, and that it is left in peace whatever is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.cli import main
from backupman.records import Backup
from backupman.store import Store

Offered = Callable[..., list[str]]


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Offered:
    """What Bash is offered for the last of these words."""
    monkeypatch.chdir(tmp_path)

    def ask(*words: str, program: str = "bash") -> list[str]:
        monkeypatch.setattr(sys, "argv", ["backupman"])
        monkeypatch.setenv("_BACKUPMAN_COMPLETE", f"complete_{program}")
        monkeypatch.setenv("COMP_WORDS", " ".join(["backupman", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", " ".join(["backupman", *words]))
        with pytest.raises(SystemExit):
            main()
        said = capsys.readouterr()
        assert said.err == ""
        return [line for line in said.out.splitlines() if line]

    return ask


@pytest.fixture
def recorded(config: dict[str, Any], tmp_path: Path) -> None:
    """Two sources, of which one has a space in its label, and a backup on record."""
    config["data_sources"].append({"provider": "sqlite", "label": "My App", "db_path": "x.db"})
    config["jobs"] = [{"label": "nightly", "every": "1d"}]
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    store = Store.open(f"sqlite:///{tmp_path}/state/backupman.db")
    known: dict[str, Any] = {"job": "nightly", "source": "App", "database": "app", "source_provider": "sqlite"}
    store.backups.begin(
        Backup(id="1a2b3c4d-0000-4000-8000-000000000000", label="App", instance="here", object_name="a/b", **known), []
    )
    store.close()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["show", ""], ["latest", "1a2b3c4d"]),
        (["restore", "1a"], ["1a2b3c4d"]),
        (["verify", "1b"], []),
        (["run", "--source", ""], ["App", r"My\ App"]),
        (["run", "--source", "A"], ["App"]),
        (["run", "--job", ""], ["nightly"]),
        (["reconcile", "--drive", ""], ["Disk"]),
        (["restore", "latest", "--from-drive", ""], ["Disk"]),
        (["events", "list", "--kind", "size"], ["size_anomaly"]),
        (["deliveries", "show", ""], []),
        (["unp"], ["unpin"]),
    ],
)
def test_what_is_offered(recorded: None, offered: Offered, words: list[str], found: list[str]) -> None:
    assert offered(*words) == found


def test_other_shells_are_told_what_an_id_is(recorded: None, offered: Offered) -> None:
    assert any("App" in line and "pending" in line for line in offered("show", "1a", program="zsh"))


def test_the_config_that_was_named_counts(recorded: None, offered: Offered, tmp_path: Path) -> None:
    other = yaml.safe_dump({"data_sources": [{"label": "Other"}], "drives": "wrong"})
    (tmp_path / "other.yml").write_text(other)  # labels are offered while the rest is still wrong
    assert offered("-c", "other.yml", "run", "--source", "") == ["Other"]
    assert offered("-c", "other.yml", "show", "") == []


@pytest.mark.parametrize("words", [["show", ""], ["run", "--source", ""], ["deliveries", "list", "--endpoint", ""]])
def test_without_a_config_nothing_is_offered_and_nothing_is_made(
    offered: Offered, tmp_path: Path, words: list[str]
) -> None:
    assert offered(*words) == []
    assert list(tmp_path.iterdir()) == []


def test_no_records_are_made(config: dict[str, Any], offered: Offered, tmp_path: Path) -> None:
    assert offered("show", "") == []
    assert not (tmp_path / "state").exists()


def test_a_broken_config_is_silent(offered: Offered, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"\xff: [")
    assert offered("run", "--source", "") == []
    assert offered("show", "") == []
