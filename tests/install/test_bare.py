"""A bare install does the main job from an empty folder, without the checkout, and names the extra that it lacks."""

import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.world import wait_for
from tests.install.conftest import Bare
from tests.servers._process import free_port

INIT = ("--source", "sqlite", "--label", "app", "--db-path", "app.sqlite", "--drive", "local", "--folder", "kept")
LOGIN = {"host": "127.0.0.1", "db_name": "shop", "user": "backup", "password": "s3cret"}
SQLITE = {"provider": "sqlite", "label": "app", "db_path": "app.sqlite"}
DRIVES: dict[str, dict[str, Any]] = {
    "s3": {"provider": "s3", "bucket": "b", "region": "r", "access_key": "a", "secret_key": "b"},
    "sftp": {"provider": "sftp", "host": "127.0.0.1", "user": "u", "folder": "/x", "password": "x"},
    "google": {"provider": "google_cloud_storage", "bucket": "bucket"},
    "azure": {"provider": "azure_blob", "container": "abc", "account": "abc", "account_key": "YWJj"},
    "fsspec": {"provider": "fsspec", "url": "ftp://127.0.0.1/x"},
}
LACKING: dict[tuple[str, ...], dict[str, Any]] = {
    tuple(DRIVES): {"drives": [{"label": label, **settings} for label, settings in DRIVES.items()]},
    ("mysql",): {"data_sources": [{"provider": "mysql", "label": "shop", **LOGIN}]},
    ("mysql", ""): {"database": {"provider": "mysql", **LOGIN}},
    ("postgres",): {"database": {"provider": "postgres", **LOGIN}},
    ("notifiers",): {"notifiers": {"apprise": {"services": [{"url": "json://127.0.0.1"}]}}},
}


@pytest.fixture
def empty(bare: Bare, tmp_path: Path) -> Path:
    """A folder with nothing but a database in it."""
    assert list(bare.home.iterdir()) == []
    with closing(sqlite3.connect(tmp_path / "app.sqlite")) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO orders VALUES (1), (2)")
    return tmp_path


def test_the_main_job(bare: Bare, empty: Path) -> None:
    for command in (("init", *INIT), ("run",), ("list",)):
        done = bare.run(empty, *command, "-c", "config.yml")
        assert done.returncode == 0, done.stdout + done.stderr
    [packed] = (empty / "kept/app").glob("backup-*.sqlite.gz")
    shell = f"gunzip -c '{packed}' > restored.sqlite && sqlite3 restored.sqlite 'SELECT count(*) FROM orders'"
    assert subprocess.run(["sh", "-c", shell], cwd=empty, capture_output=True, text=True, check=True).stdout == "2\n"


def test_the_daemon_shows_its_dashboard(bare: Bare, empty: Path) -> None:
    port = free_port()
    http = {"host": "127.0.0.1", "port": port, "api_keys": ["s3cret-key"]}
    config = {"data_sources": [SQLITE], "drives": [{"provider": "local", "label": "disk", "folder": "kept"}]}
    (empty / "config.yml").write_text(yaml.safe_dump(config | {"http": http}))
    process = subprocess.Popen(bare.command("serve", "-c", "config.yml"), cwd=empty, env=bare.environment(empty))
    try:
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, trust_env=False, timeout=60, follow_redirects=True) as browser:
            wait_for(lambda: answers(browser), 300)
            form = browser.get("/").text
            hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
            page = browser.post("/sign-in", data={**hidden, "key": "s3cret-key"}, headers={"Origin": address})
            assert page.status_code == 200
            assert "<title>Overview" in page.text
            assets = re.findall(r'(?:href|src)="(/static/[^"?]+)', page.text)
            assert {asset.rpartition(".")[2] for asset in assets} == {"css", "js", "svg"}
            for asset in assets:
                assert browser.get(asset).status_code == 200
    finally:
        process.terminate()
        assert process.wait(timeout=120) == 0


def answers(browser: httpx.Client) -> bool:
    """Whether the daemon answers."""
    try:
        return bool(browser.get("/ping").json() == {"message": "pong"})
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("extras", LACKING, ids="-".join)
def test_the_extra_that_is_missing_is_named(bare: Bare, empty: Path, extras: tuple[str, ...]) -> None:
    config = {"data_sources": [SQLITE], "drives": [{"provider": "local", "label": "disk", "folder": "kept"}]}
    (empty / "config.yml").write_text(yaml.safe_dump(config | LACKING[extras]))
    done = bare.run(empty, "health", "-c", "config.yml")
    assert done.returncode != 0
    named = re.findall(r"pip install 'backupman\[(\w+)\]'", done.stdout + done.stderr)
    assert sorted(named) == sorted(filter(None, extras))
