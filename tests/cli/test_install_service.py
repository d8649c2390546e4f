"""`install-service` tells what it does, does it once, keeps what is there, and undoes it."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.cli.service_kinds import DAEMON, KINDS, TIMER, unit_text
from backupman.cli.service_steps import installation, removal, system
from backupman.errors import BackupmanError
from tests.calls import must_be_a_call
from tests.cli.conftest import Inside
from tests.cli.machine import Rehearsal, files, host
from tests.pages import ROOT

__all__ = ["host"]

PROGRAM = Path("/srv/tools/bin/backupman")


def mode(path: Path) -> int:
    """The permissions of a path."""
    return stat.S_IMODE(path.stat().st_mode)


def test_below_a_folder(inside: Inside, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = inside("install-service", "--root", "root", "--yes")
    assert done.code == 0
    assert f"  - write {root}/etc/systemd/system/backupman.service\n" in done.out
    assert "systemctl enable --now backupman.service" in done.out
    config, units = root / "etc/backupman/config.yml", root / "etc/systemd/system"
    assert config.read_text() == (ROOT / "config.example.yml").read_text()
    assert (mode(config), mode(config.parent), mode(root / "var/lib/backupman")) == (0o640, 0o750, 0o700)
    assert sorted(path.name for path in units.iterdir()) == sorted(DAEMON.units)
    for name in DAEMON.units:
        assert (units / name).read_text() == (ROOT / "systemd" / name).read_text()
        assert mode(units / name) == 0o644
    assert "Nothing is to be done" in inside("install-service", "--root", "root").out
    assert inside("install-service", "--root", "root", "--remove", "--yes").code == 0
    assert files(root) == []
    assert not (root / "var/lib/backupman").exists()


def test_nothing_is_done_where_nobody_says_yes(inside: Inside, tmp_path: Path) -> None:
    done = inside("install-service", "--root", "root")
    assert done.code == 2
    assert "This will\n" in done.out
    assert "say --yes if that is meant" in done.err
    assert not (tmp_path / "root").exists()


def test_a_config_is_taken_once_and_never_written_over(inside: Inside, config: dict[str, Any], tmp_path: Path) -> None:
    placed = tmp_path / "root/etc/backupman/config.yml"
    drop_in = tmp_path / "root/etc/systemd/system/backupman.service.d/paths.conf"
    own = (tmp_path / "config.yml").read_text()
    assert inside("install-service", "--root", "root", "--yes", "-c", "config.yml").code == 0
    assert placed.read_text() == own
    assert f"ReadWritePaths={config['state_folder']}\n" in drop_in.read_text()
    config["state_folder"] = "/srv/records"
    (tmp_path / "other.yml").write_text(yaml.safe_dump(config))
    done = inside("install-service", "--root", "root", "--yes", "-c", "other.yml")
    assert "stays as it is" in done.err
    assert placed.read_text() == own
    placed.write_text(yaml.safe_dump(config))
    assert f"replace {drop_in}" in inside("install-service", "--root", "root", "--yes").out
    assert "ReadWritePaths=/srv/records\n" in drop_in.read_text()
    config |= {
        "state_folder": "/var/lib/backupman",
        "data_sources": [{"provider": "command", "label": "c", "argv": ["true"]}],
        "drives": [{"provider": "fsspec", "label": "m", "url": "memory://x"}],
    }
    placed.write_text(yaml.safe_dump(config))
    assert f"remove {drop_in.parent}" in inside("install-service", "--root", "root", "--yes").out
    assert not drop_in.parent.exists()
    (tmp_path / "root/var/lib/backupman/backupman.db").touch()
    done = inside("install-service", "--root", "root", "--remove", "--yes")
    assert files(tmp_path / "root") == ["etc/backupman/config.yml", "var/lib/backupman/backupman.db"]
    for left in ("etc/backupman", "var/lib/backupman"):
        assert str(tmp_path / "root" / left) in done.out.rpartition("Left as they are")[2]


def test_a_config_that_cannot_be_loaded_here_is_told(inside: Inside, tmp_path: Path) -> None:
    (tmp_path / "wrong.yml").write_text("drives: ${NOWHERE_TO_BE_FOUND}\n")
    done = inside("install-service", "--root", "root", "--yes", "-c", "wrong.yml")
    assert done.code == 0
    assert "NOWHERE_TO_BE_FOUND is not set" in done.err
    assert "there is no config nowhere.yml" in inside("install-service", "--root", "root", "-c", "nowhere.yml").err


def test_a_program_that_the_service_cannot_see_is_refused(inside: Inside) -> None:
    done = inside("install-service", "--yes")  # called as `backupman` of the test's folder, where there is none
    assert done.code == 2
    assert ("is hidden from the service" if os.geteuid() == 0 else "call it with sudo") in done.err
    assert "This will" not in done.out


def test_the_daemon_or_the_timer(inside: Inside, tmp_path: Path) -> None:
    units = tmp_path / "root/etc/systemd/system"
    assert inside("install-service", "--root", "root", "--yes", "--timer").code == 0
    assert sorted(path.name for path in units.iterdir()) == sorted(TIMER.units)
    done = inside("install-service", "--root", "root", "--yes")
    assert (done.code, "backupman-run.timer is installed" in done.err) == (2, True)
    assert inside("install-service", "--root", "root", "--remove", "--yes").code == 0
    assert list(units.iterdir()) == []


def test_the_machine_itself(host: Rehearsal, config: dict[str, Any], tmp_path: Path) -> None:
    for step in list(installation(host, DAEMON, PROGRAM, tmp_path / "config.yml")):
        step.make()
    calls = (host.root / "calls").read_text().splitlines()
    account = "--system --user-group --no-create-home --home-dir /var/lib/backupman --shell /usr/sbin/nologin backupman"
    assert calls == [
        f"useradd {account}",
        "systemctl daemon-reload",
        "systemctl enable --quiet backupman.service",
        f"runuser -u backupman -- {PROGRAM} config check --quiet -c /etc/backupman/config.yml",
        "systemctl start backupman.service",
    ]
    must_be_a_call(calls[-2].partition(f"{PROGRAM} ")[2].split())
    drive = host.at(Path("/") / config["drives"][0]["folder"])
    assert mode(drive) == 0o700  # a relative folder is one of the root, where the service runs
    placed = host.at(Path("/etc/backupman/config.yml"))
    placed.chmod(0o600)
    again = [step.says for step in installation(host, DAEMON, PROGRAM, None)]
    assert again == [f"let the group backupman read {placed}, mode 0640"]
    (host.root / "calls").unlink()
    for step in list(removal(host, (DAEMON, TIMER))):
        step.make()
    calls = (host.root / "calls").read_text().splitlines()
    assert calls == ["systemctl disable --now --quiet backupman.service", "systemctl daemon-reload"]
    assert host.account()  # which the config belongs to


def test_an_example_is_not_started_and_goes_again_with_the_account(host: Rehearsal) -> None:
    for step in list(installation(host, TIMER, PROGRAM, None)):
        step.make()
    assert "systemctl start" not in (host.root / "calls").read_text()
    for step in list(removal(host, (DAEMON, TIMER))):
        step.make()
    assert not host.account()
    assert files(host.root) == ["calls"]


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "systemd").glob("*.service")))
def test_a_unit_starts_the_program_that_installs_it(name: str) -> None:
    text = unit_text(name, PROGRAM)
    assert "/opt/backupman" not in text
    for line in text.splitlines():
        if line.startswith(f"ExecStart={PROGRAM}"):
            must_be_a_call(line.split()[1:])


@pytest.mark.parametrize("unit", [kind.unit for kind in KINDS])
def test_a_dump_for_which_the_memory_does_not_suffice_stops_nothing_else(unit: str) -> None:
    service = unit.replace(".timer", ".service")
    assert "\nOOMPolicy=continue\n" in unit_text(service, PROGRAM)


def test_what_a_program_of_the_system_says_is_told() -> None:
    with pytest.raises(BackupmanError, match=r"`ls --nonsense` has failed: .*nonsense"):
        system("ls", "--nonsense")
    with pytest.raises(BackupmanError, match="the program no-such-program is not there"):
        system("no-such-program")


@pytest.mark.service("systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    program = tmp_path / "backupman"
    program.touch(mode=0o755)
    names = sorted({name for kind in KINDS for name in kind.units})
    for name in names:
        (tmp_path / name).write_text(unit_text(name, program, ["--queue", "db7"]))
    units = [str(tmp_path / name) for name in names if "@" not in name]
    argv = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line or "backupman" in line] == []
