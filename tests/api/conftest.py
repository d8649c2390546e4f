"""A real daemon with a real store, served by the real server on a free port, and clients that talk to it."""

import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from backupman.api import create_api
from backupman.api.server import Server
from backupman.daemon import Daemon
from backupman.records import Backup
from tests.api._documented import learn, must_be_documented
from tests.drives._proxy import Proxy, proxy
from tests.e2e.world import wait_for
from tests.servers.receiver import Receiver
from tests.servers.s3 import S3

MIB = 2**20
ROOT = "bm_every-scope"
SLOW = ["sh", "-c", "echo begun; sleep 60"]
KEYS = {"root": ROOT} | {
    scope: f"bm_{scope}-only" for scope in ("read", "run", "download", "restore", "ingest", "admin")
}


@dataclass
class Api:
    """A served daemon; `config` is what it was started with."""

    folder: Path
    config: dict[str, Any]
    started: list[tuple[Daemon, Server]] = field(default_factory=list)
    applications: list[FastAPI] = field(default_factory=list)

    def start(self, *, scheduling: bool = False) -> "Api":
        """Serve; with `scheduling` the daemon's own threads as well."""
        daemon = Daemon(self.write())
        if scheduling:
            daemon.start()
        application = create_api(daemon)
        learn(application)
        server = Server(application, "127.0.0.1", 0, daemon.app.config.http.trusted_proxies)
        server.start()
        self.started.append((daemon, server))
        self.applications.append(application)
        return self

    def write(self) -> Path:
        """Write the config as it is now."""
        file = self.folder / "config.yml"
        file.write_text(yaml.safe_dump(self.config))
        return file

    @property
    def daemon(self) -> Daemon:
        return self.started[-1][0]

    @property
    def application(self) -> FastAPI:
        return self.applications[-1]

    @property
    def url(self) -> str:
        return f"http://{self.started[-1][1].address}"

    def client(self, key: str | None = "root", **options: Any) -> httpx.Client:
        """A client that presents the key of that name, None: none; what it is answered has to be documented."""
        headers = {"X-Api-Key": KEYS[key]} if key else {}
        hooks = {"response": [must_be_documented]}
        usual: dict[str, Any] = {"timeout": 90, "trust_env": False}
        return httpx.Client(base_url=self.url, headers=headers, event_hooks=hooks, **usual | options)

    def run(self, *sources: str) -> list[Backup]:
        """Make backups without HTTP."""
        from backupman.engine.runner import Order

        app = self.daemon.app
        return app.executor.run(app.plans, list(sources) or None, Order(), wait=True).backups

    def idle(self) -> None:
        """Wait until nothing is worked on: a backup is settled before its source is free again."""
        wait_for(lambda: not self.daemon.app.executor.busy)

    def stop(self) -> None:
        while self.started:
            daemon, server = self.started.pop()
            daemon.stop(timedelta(seconds=0))
            server.stop()


def configuration(folder: Path, hook: str) -> dict[str, Any]:
    """A config with a SQLite source, a local drive, a webhook at `hook`, and a key for each scope."""
    database = sqlite3.connect(folder / "app.db")
    with database:
        database.execute("create table users (name text)")
        database.executemany("insert into users values (?)", [("Ada",), ("Grace",)])
    database.close()
    hashed = {
        scope: hashlib.sha256(KEYS[scope].encode()).hexdigest() for scope in ("read", "run", "download", "restore")
    }
    return {
        "state_folder": str(folder / "state"),
        "instance": "test-host",
        "data_sources": [{"provider": "sqlite", "label": "App", "db_path": str(folder / "app.db")}],
        "drives": [{"provider": "local", "label": "Disk", "folder": str(folder / "drive")}],
        "jobs": [{"label": "nightly", "cron": "30 2 * * *", "timezone": "UTC"}],
        "notifiers": {"webhook": {"endpoints": [{"name": "Hook", "url": f"{hook}/hook", "token": "t"}]}},
        "retry": {"attempts": 2, "first_wait": "20ms", "max_wait": "50ms"},
        "spool": {"min_free": "1MiB"},
        "http": {
            "app_url": "https://backups.example.com/bm/",
            "api_keys": [
                ROOT,
                *({"name": scope, "key_sha256": digest, "scopes": [scope]} for scope, digest in hashed.items()),
                {"name": "scripts", "key": KEYS["ingest"], "scopes": ["ingest"]},
                {"name": "boss", "key": KEYS["admin"], "scopes": ["admin"]},
            ],
        },
    }


@pytest.fixture
def configured(tmp_path: Path, receiver: Receiver) -> Iterator[Api]:
    """A daemon that was not started yet, for tests that change its config first."""
    api = Api(tmp_path, configuration(tmp_path, receiver.url))
    yield api
    api.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a daemon that a module's tests share, because they change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    api = Api(folder, configuration(folder, "http://127.0.0.1:9")).start()
    with api.client() as client:
        yield client
    api.stop()


@pytest.fixture
def api(configured: Api) -> Api:
    """A served daemon."""
    return configured.start()


@pytest.fixture
def slow(configured: Api) -> Api:
    """A daemon with a source beside the first whose dump goes on until it is ended."""
    configured.config["data_sources"].append(
        {"provider": "command", "label": "Slow", "argv": SLOW, "database": "slow", "suffix": ".txt"}
    )
    return configured.start()


@pytest.fixture
def client(api: Api) -> Iterator[httpx.Client]:
    """A client whose key may do everything."""
    with api.client() as client:
        yield client


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Everything that was logged."""
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text


@pytest.fixture
def backup(api: Api) -> Backup:
    """A finished backup of the served daemon."""
    (made,) = api.run()
    return made


@pytest.fixture
def script(api: Api) -> httpx.Client:
    """A client as a script has it; closed with the daemon."""
    return api.client("ingest")


@pytest.fixture
def through(s3: S3) -> Iterator[Proxy]:
    """A proxy in front of an S3 server."""
    with proxy(s3.endpoint) as running:
        yield running


@pytest.fixture
def cloud(configured: Api, s3: S3, bucket: str, through: Proxy) -> Api:
    """A daemon whose only drive is a bucket behind a proxy; with an object of 20 MiB in it."""
    configured.config["drives"] = [
        {
            "provider": "s3",
            "label": "Cloud",
            "bucket": bucket,
            "region": s3.region,
            "access_key": s3.access_key,
            "secret_key": s3.secret_key,
            "endpoint": through.endpoint,
            "timeout": "2s",
        }
    ]
    configured.start()
    (backup,) = configured.run()
    (file,) = backup.drive_files
    content = os.urandom(20 * MIB)
    with closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key=str(file.ref), Body=content)
    configured.daemon.app.store.backups.change_drive_file(
        backup.id, "Cloud", size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    return configured
