"""A folder that `install-service` takes for the machine itself, with programs of the system that only write down."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

import pytest

from backupman.cli.service_steps import Host


@dataclass(frozen=True)
class Rehearsal(Host):
    """A folder that is treated as the machine itself, by whoever runs the tests; programs come from the PATH."""

    booted: bool = True

    @property
    def is_live(self) -> bool:
        """Yes."""
        return True

    def has_systemd(self) -> bool:
        """As the test wants it."""
        return self.booted

    def account(self) -> "pwd.struct_passwd | None":
        """The one that `useradd` has made."""
        return pwd.getpwuid(os.getuid()) if (self.root / "account").exists() else None

    def give(self, path: Path, mode: int, *, wholly: bool = False) -> None:
        """The permissions alone: only root could give it away."""
        path.chmod(mode)


def files(root: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    """A machine whose `useradd`, `systemctl` and so on write down what they are told, and know it later."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (tmp_path / "machine").mkdir()
    systemctl = """for unit; do :; done
    case $1 in
        is-*) exec test -e "$1 $unit";;
        enable) touch "is-enabled $unit";;
        start) touch "is-active $unit";;
        disable) rm -f "is-enabled $unit" "is-active $unit";;
    esac"""
    for name, deed in (
        ("useradd", "touch account"),
        ("userdel", "rm account"),
        ("systemctl", systemctl),
        ("runuser", ":"),
    ):
        text = f'#!/bin/sh\nset -e\ncd {tmp_path}/machine\n{deed}\necho "${{0##*/}} $*" >> calls\n'
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.defpath}")
    return Rehearsal(tmp_path / "machine")
