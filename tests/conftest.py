"""Loads the fixtures of tests/servers, and keeps the machine's own settings out of every test."""

import gc
import logging
import os
import signal
import subprocess
from pathlib import Path

import hypothesis
import pytest

from tests import forked_children
from tests.made_once import make_once
from tests.servers import MUST_RUN, SERVICES, program
from tests.tables import copy_tables

pytest_plugins = [
    "tests.servers.azure",
    "tests.servers.ftp",
    "tests.servers.borgmatic",
    "tests.servers.browser",
    "tests.servers.google_drive",
    "tests.servers.gcs",  # behind the one that it imports
    "tests.servers.mariadb",
    "tests.servers.mysql",
    "tests.servers.ntfy",
    "tests.servers.postgres",
    "tests.servers.receiver",
    "tests.servers.s3",
    "tests.servers.sftp",
    "tests.servers.smtp",
    "tests.servers.webdav",
]

# The services that are nothing but a program: the marker alone asks for them, the others have a fixture.
SERVERS = {"postgres", "mariadb", "mysql", "s3", "azure", "smtp", "sftp", "webdav", "borgmatic", "ntfy", "browser"}
PROGRAMS = SERVICES - SERVERS
# Settings of the machine that programs of ours, their libraries or the tools they run would obey.
FOREIGN = ("BACKUPMAN_", "AWS_", "PG", "MYSQL", "MARIADB", "XDG_", "SMTP")
FOREIGN_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
FOREIGN_CERTIFICATES = {"ssl_cert_file", "ssl_cert_dir"}
FOREIGN_SYSTEMD = {"state_directory", "credentials_directory"}
FOREIGN_TERMINAL = {"columns", "lines", "no_color", "force_color"}
FOREIGN_SETTINGS = FOREIGN_PROXIES | FOREIGN_CERTIFICATES | FOREIGN_SYSTEMD | FOREIGN_TERMINAL


def pytest_configure() -> None:
    """Refuse a BACKUPMAN_MUST_RUN with a name that no test knows: it would hide a skip.

    Whoever runs the tests in the background, or by nohup, has signals ignored, and so would have all that they start.
    """
    hypothesis.settings.register_profile(  # a busy machine is slow, and that says nothing of us
        "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("tests")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if unknown := MUST_RUN - SERVICES:
        raise pytest.UsageError(f"BACKUPMAN_MUST_RUN names unknown services: {', '.join(sorted(unknown))}")
    copy_tables()
    make_once()
    forked_children.come_from(forked_children.server)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits for minutes: at the end all others would wait for it."""
    items.sort(key=lambda item: "test_fleet_" not in item.nodeid)


def pytest_collection_finish() -> None:
    """What collecting has made stays until the end: looking through it again and again takes a tenth of all time."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell why a test was run again, too: one that passes only then is a fault to mend."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"why {report.nodeid} was run again")
        terminalreporter.write_line(report.longreprtext)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test whose `service` marker names a program that is not installed, or nothing we know."""
    for marker in item.iter_markers("service"):
        for name in marker.args:
            if name not in SERVICES:
                raise pytest.UsageError(f"{item.nodeid}: unknown service {name}")
            if name in PROGRAMS:
                program(name)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the test an empty HOME and nothing of the machine's settings; the HOME is what it returns."""
    for name in os.environ:
        if name.startswith(FOREIGN) or name.lower() in FOREIGN_SETTINGS:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    # With these the package stays inside HOME for root too, who else writes to /var/lib.
    for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
    # Without keys the SDK would ask the cloud's metadata address, which nobody answers here.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return home


@pytest.fixture
def started_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children of the data plane are started as they are outside of tests, instead of being forked."""
    monkeypatch.setattr("backupman.children.Popen", subprocess.Popen)


@pytest.fixture(autouse=True)
def own_log() -> None:
    """Undo what the command line did to the log of this process, in a test before or a fixture around it."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "backupman":
            log = logging.getLogger(name)
            log.handlers, log.propagate = [], True
            log.setLevel(logging.NOTSET)
