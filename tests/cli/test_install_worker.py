"""`install-service --worker` makes a worker by the same steps, beside a daemon or without one, and undoes only that."""

import os
import re
import sys
from pathlib import Path

import pytest
import yaml

from backupman.cli.service_kinds import DAEMON, TIMER, WORKER, unit_text
from backupman.cli.service_steps import RELOADING, installation, removal
from backupman.config.host import HostConfig, WorkerSettings
from backupman.config.worker import load_worker
from tests.calls import must_be_a_call
from tests.cli.conftest import Inside
from tests.cli.machine import Rehearsal, files, host
from tests.pages import ROOT

__all__ = ["host"]

PROGRAM = Path("/srv/tools/bin/backupman")
OWN = """instance: shop
database: {url: "postgresql://backupman@db.example.com/backupman"}
spool: {folder: /srv/spool}
worker: {queues: [db7]}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A worker's own config in the test's folder."""
    (tmp_path / "worker.yml").write_text(OWN)
    return tmp_path / "worker.yml"


def test_below_a_folder(inside: Inside, own: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = inside("install-service", "--worker", "--root", "root", "--yes", "-c", "worker.yml")
    assert (done.code, done.err) == (0, "")
    assert f"  - write {root}/etc/backupman/worker.yml, mode 0640\n" in done.out
    assert "systemctl enable --now backupman-worker.service" in done.out
    assert files(root) == [
        "etc/backupman/worker.yml",
        "etc/systemd/system/backupman-failed@.service",
        "etc/systemd/system/backupman-worker.service",
        "etc/systemd/system/backupman-worker.service.d/paths.conf",
    ]
    units = root / "etc/systemd/system"
    assert (root / "etc/backupman/worker.yml").read_text() == OWN
    assert (units / WORKER.unit).read_text() == (ROOT / "systemd" / WORKER.unit).read_text()
    assert "\nReadWritePaths=/srv/spool\n" in (units / "backupman-worker.service.d/paths.conf").read_text()
    assert "Nothing is to be done" in inside("install-service", "--worker", "--root", "root").out
    done = inside("install-service", "--worker", "--root", "root", "--remove", "--yes")
    assert files(root) == ["etc/backupman/worker.yml"]
    assert f"Left as they are: {root}/etc/backupman," in done.out


def test_queues_and_how_much_at_once_stand_in_the_unit_and_stay_there(inside: Inside, tmp_path: Path) -> None:
    unit = tmp_path / "root/etc/systemd/system" / WORKER.unit
    call = ("install-service", "--worker", "--root", "root", "--yes")
    assert inside(*call, "--queue", "db7", "--queue", "eu-west", "--parallel", "4").code == 0
    [command] = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    assert command.endswith(" worker --config /etc/backupman/worker.yml --queue db7 --queue eu-west --parallel 4")
    must_be_a_call(command.split()[1:])
    assert "Nothing is to be done" in inside(*call).out
    assert f"replace {unit}" in inside(*call, "--queue", "db8").out
    assert unit.read_text() == unit_text(WORKER.unit, Path("/opt/backupman/bin/backupman"), ["--queue", "db8"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--queue", "db7"], "--queue and --parallel are a worker's: say --worker too"),
        (["--timer", "--parallel", "2"], "--queue and --parallel are a worker's: say --worker too"),
        (["--worker", "--timer"], "--timer and --worker are two services: name one of them"),
        (["--worker", "--queue", "a b"], "--queue: it should be a name of up to 30 of a-z, 0-9, dot, _ and -"),
    ],
)
def test_what_does_not_go_together_is_refused(inside: Inside, tmp_path: Path, words: list[str], sentence: str) -> None:
    done = inside("install-service", "--root", "root", "--yes", *words)
    assert (done.code, done.err) == (2, f"Error: {sentence}\n")
    assert not (tmp_path / "root").exists()


def test_without_the_extra_for_fleets_no_worker_is_made(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "procrastinate", None)
    done = inside("install-service", "--worker", "--yes")
    assert done.code == 2
    assert ("pip install 'backupman[fleet]'" if os.geteuid() == 0 else "call it with sudo") in done.err
    assert "This will" not in done.out


def test_the_machine_itself(host: Rehearsal, own: Path) -> None:
    for step in list(installation(host, WORKER, PROGRAM, own, ["--parallel", "4"])):
        step.make()
    account, *calls = (host.root / "calls").read_text().splitlines()
    assert account.startswith("useradd --system ")
    assert calls == [
        "systemctl daemon-reload",
        "systemctl enable --quiet backupman-worker.service",
        f"runuser -u backupman -- {PROGRAM} config check --worker --quiet -c /etc/backupman/worker.yml",
        "systemctl start backupman-worker.service",
    ]
    must_be_a_call(calls[2].partition(f"{PROGRAM} ")[2].split())
    assert host.at(Path("/var/lib/backupman-worker")).is_dir()
    assert not host.at(Path("/var/lib/backupman")).exists()
    assert list(installation(host, WORKER, PROGRAM, None)) == []
    replaced, last = installation(host, WORKER, PROGRAM, None, ["--parallel", "5"])
    assert replaced.says.startswith("replace ")
    assert last is RELOADING, "whoever has it under way says when it is restarted"


def test_beside_a_daemon_each_is_undone_alone(host: Rehearsal, own: Path) -> None:
    for kind, config in ((DAEMON, None), (WORKER, own)):
        for step in list(installation(host, kind, PROGRAM, config)):
            step.make()
    (host.root / "calls").unlink()
    for step in list(removal(host, (DAEMON, TIMER))):
        step.make()
    assert (host.root / "calls").read_text().splitlines() == [
        "systemctl disable --now --quiet backupman.service",
        "systemctl daemon-reload",
    ]
    left = {path.name for path in host.at(Path("/etc/systemd/system")).iterdir() if path.is_file()}
    assert left == set(WORKER.units), "the worker still tells when it fails"
    host.at(WORKER.config).unlink()
    for step in list(removal(host, (WORKER,))):
        step.make()
    assert not host.account(), "nothing is left that could be its own"


def test_the_worker_that_stays_is_named(inside: Inside) -> None:
    for kind in ((), ("--worker",)):
        assert inside("install-service", "--root", "root", "--yes", *kind).code == 0
    done = inside("install-service", "--root", "root", "--yes", "--remove")
    assert "backupman-worker.service stays: install-service --worker --remove removes it.\n" in done.out
    assert (
        "backupman-worker.service stays"
        not in inside("install-service", "--root", "root", "--yes", "--remove", "--worker").out
    )


def test_a_control_hosts_whole_config_does(host: Rehearsal, tmp_path: Path) -> None:
    whole = yaml.safe_load(OWN) | {"drives": [{"provider": "local", "label": "D", "folder": "/srv/${NOT_HERE}"}]}
    (tmp_path / "whole.yml").write_text(yaml.safe_dump(whole))
    says = [step.says for step in installation(host, WORKER, PROGRAM, tmp_path / "whole.yml")]
    assert says[-1] == "start backupman-worker.service now"


def test_the_example_is_not_started_and_shows_every_setting(
    host: Rehearsal, inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in list(installation(host, WORKER, PROGRAM, None)):
        step.make()
    assert "systemctl start" not in (host.root / "calls").read_text()
    text = inside("config", "example", "--worker").out
    assert host.at(WORKER.config).read_text() == text
    monkeypatch.setenv("DB_PASSWORD", "S3cret")
    on = re.sub(r"^( *)#(?=[^ #\n]|  \S)", r"\1", text, flags=re.MULTILINE)  # `#setting`, and what it has below it
    (tmp_path / "worker.yml").write_text(text)
    assert load_worker(tmp_path / "worker.yml").config.worker.queues == ["db7"]
    (tmp_path / "worker.yml").write_text(on)
    config = load_worker(tmp_path / "worker.yml").config
    assert config.model_fields_set == set(HostConfig.model_fields)
    assert config.worker.model_fields_set == set(WorkerSettings.model_fields)
