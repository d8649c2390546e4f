"""Real servers that the tests talk to, one fixture a module; here: what happens when one cannot be had."""

import os
import shutil
from typing import NoReturn

import pytest

SERVICES = frozenset(
    {
        "browser",
        "postgres",
        "mariadb",
        "mysql",
        "s3",
        "azure",
        "smtp",
        "sftp",
        "webdav",
        "age",
        "zstd",
        "gzip",
        "sqlite3",
        "systemd-analyze",
        "webhook",
        "borgmatic",
        "ntfy",
        "promtool",
        "openssl",
        "curl",
        "jq",
        "mount",
        "ptrace",
        "landlock",
    }
)

# Read once, at import: inside a test the environment holds no BACKUPMAN_* any more.
MUST_RUN = frozenset(filter(None, os.environ.get("BACKUPMAN_MUST_RUN", "").split(",")))

# Servers live in sbin, which an ordinary account does not search.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])

# Everything that a shell, a URL, an option file or a connection string could trip over.
ODD_PASSWORD = "p w'\"`$HOME %s%40 \\n\\ #;=@:/?&ß€"


def unavailable(service: str, why: str) -> NoReturn:
    """End the test because a service cannot be had: skipped, or failed if BACKUPMAN_MUST_RUN names the service."""
    if service in MUST_RUN:
        pytest.fail(f"{service} is in BACKUPMAN_MUST_RUN, but {why}", pytrace=False)
    pytest.skip(f"{service}: {why}")


def program(name: str, service: str = "") -> str:
    """The path of an installed program; without it the test is skipped or failed, as `unavailable` says."""
    return shutil.which(name, path=SEARCH_PATH) or unavailable(service or name, f"{name} is not installed")
