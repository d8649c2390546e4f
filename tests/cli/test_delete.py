"""`backupman delete` as a user types it: asked first, what would be missed is refused, and what came of it is said."""

import io
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Inside


class Keyboard(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


def ids(inside: Inside) -> list[str]:
    """Of all backups, the newest first."""
    return [backup["Id"] for backup in inside("list", "--json").json["Results"]]


@pytest.fixture
def made(tmp_path: Path, config: dict[str, Any], inside: Inside) -> list[str]:
    """Two backups of one database; their ids, the newest first."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as database, database:
        database.execute("create table users (name text)")
    config["spool"] = {"min_free": "1MiB"}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    for _ in range(2):
        assert inside("run", "-q").code == 0
    return ids(inside)


def test_it_is_deleted_when_its_id_is_typed(
    made: list[str], inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = made
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ended = inside("delete", new)
    assert (ended.code, "Say --yes if that is meant" in ended.err) == (2, True)
    monkeypatch.setattr(sys, "stdin", Keyboard("yes\n"))
    ended = inside("delete", new)
    assert (ended.code, "nothing was done" in ended.err) == (2, True)
    assert ids(inside) == made
    monkeypatch.setattr(sys, "stdin", Keyboard(f"{new[:8]}\n"))
    ended = inside("delete", new)
    assert ended.code == 0, ended.err
    assert "This deletes the backup of App of " in ended.err
    assert " on Disk." in ended.err
    assert ended.out.endswith(f"Backup {new[:8]} of App is deleted: removed from Disk.\n")
    assert ids(inside) == [old]
    assert not list((tmp_path / "drive").rglob(f"*{new[:8]}*"))


def test_the_last_one_needs_force_and_a_pinned_one_is_kept(made: list[str], inside: Inside) -> None:
    new, old = made
    assert inside("delete", old, "--yes", "-q").out == ""
    ended = inside("delete", "latest", "--yes", "-c", "config.yml")
    assert (ended.code, "the last good backup of 'app' of App" in ended.err) == (2, True)
    assert f"`backupman delete {new[:8]} --force -c config.yml`" in ended.err, "it can be pasted as it is"
    assert inside("pin", new).code == 0
    ended = inside("delete", new, "--yes", "--force", "-c", "config.yml")
    assert (ended.code, f"`backupman unpin {new[:8]} -c config.yml`" in ended.err) == (2, True)
    assert inside("unpin", new).code == 0
    assert inside("delete", new, "--yes", "--force").code == 0
    assert ids(inside) == []


def test_what_cannot_be_removed_is_said(made: list[str], inside: Inside, tmp_path: Path) -> None:
    (stored,) = (path for path in (tmp_path / "drive").rglob(f"*{made[0][:8]}*") if path.suffix != ".json")
    stored.unlink()
    stored.mkdir()
    (stored / "something").touch()
    ended = inside("delete", made[0], "--yes")
    assert ended.code == 1
    assert stored.name in "".join(ended.err.split())
    assert "stays on record: nothing was removed" in ended.out
    assert ids(inside) == made
