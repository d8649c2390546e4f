"""Bad input and faults: each ends in one sentence, a failed record, a report that says so, and nothing left behind."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.world import Ended, World, end, wait_for
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.servers.s3 import S3

SQL_TRAILER = "-- PostgreSQL database dump complete"


def assert_failed(world: World, ended: Ended, *words: str) -> dict[str, Any]:
    """The backup has failed, said so everywhere in one sentence with these words, and left nothing."""
    assert ended.code == 1, ended.err
    (backup,) = world.backups()
    assert backup["Status"] == "failed"
    assert backup["Error"].startswith(f"{backup['Label']}: ") or backup["Label"] in backup["Error"]
    for word in words:
        assert word.lower() in backup["Error"].lower()
    assert "Traceback" not in ended.err
    assert backup["Error"].split("\n")[0] in " ".join(ended.err.split()) or backup["Error"] in ended.err
    (report,) = world.reports()
    assert (report["Id"], report["Status"], report["DumpPath"]) == (backup["Id"], "failed", None)
    assert {file["Status"] for file in report["DriveFiles"]} == {"failed"}
    world.assert_clean()
    return backup


def fake_tool(world: World, script: str, name: str = "pg_dump") -> str:
    """A stand-in for a dump program, which lies as the script says; its folder."""
    folder = world.folder / "tools"
    folder.mkdir(exist_ok=True)
    for tool in (name, "pg_restore", "pg_dumpall"):
        (folder / tool).write_text(
            f'#!/bin/sh\ncase "$*" in *--version*) echo "{tool} (PostgreSQL) 99.0"; exit;; esac\n'
        )
        (folder / tool).chmod(0o755)
    (folder / name).write_text((folder / name).read_text() + script)
    return str(folder)


def postgres_source(postgres: Postgres, **changes: Any) -> dict[str, Any]:
    """A source on the real server."""
    return {
        "provider": "postgres",
        "label": "Shop",
        "host": postgres.host,
        "port": postgres.port,
        "db_name": "postgres",
        "user": postgres.user,
        "password": postgres.password,
    } | changes


def mariadb_source(mariadb: Mariadb, **changes: Any) -> dict[str, Any]:
    """A source on the real server."""
    return {
        "provider": "mariadb",
        "label": "Shop",
        "host": mariadb.host,
        "port": mariadb.port,
        "db_name": "mysql",
        "user": mariadb.user,
        "password": mariadb.password,
    } | changes


@pytest.mark.parametrize("make", [postgres_source, mariadb_source], ids=["postgres", "mariadb"])
def test_a_wrong_password(make: Callable[..., dict[str, Any]], world: World, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres" if make is postgres_source else "mariadb")
    world.config["data_sources"] = [make(server, password="wr0ng-secret")]
    ended = world.run("run")
    assert_failed(world, ended, "password")
    assert "wr0ng-secret" not in ended.out + ended.err


@pytest.mark.parametrize("make", [postgres_source, mariadb_source], ids=["postgres", "mariadb"])
def test_an_unknown_host(make: Callable[..., dict[str, Any]], world: World, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres" if make is postgres_source else "mariadb")
    world.config["data_sources"] = [make(server, host="no-such-host.invalid")]
    assert_failed(world, world.run("run"), "no-such-host.invalid")


def test_a_wrong_password_when_all_databases_are_asked_for(world: World, postgres: Postgres) -> None:
    source = postgres_source(postgres, password="wr0ng-secret", databases="all")
    del source["db_name"]
    world.config["data_sources"] = [source]
    assert_failed(world, world.run("run"), "password")


def test_a_missing_tool(world: World, postgres: Postgres) -> None:
    world.config["data_sources"] = [postgres_source(postgres, tool_path=str(world.folder / "nowhere"))]
    assert_failed(world, world.run("run"), "pg_dump", "install")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", ["empty"]),
        ("echo 'create table x (y int);'; exit 0", ["cut off"]),
        ("echo 'create table x (y int);'; kill -9 $$", ["signal 9"]),
        ("echo 'create table x (y int);'; echo 'disk on fire' >&2; exit 3", ["disk on fire"]),
    ],
    ids=["nothing", "no trailer", "killed", "failed"],
)
def test_a_tool_that_lies_or_dies(script: str, words: list[str], world: World, postgres: Postgres) -> None:
    world.config["data_sources"] = [postgres_source(postgres, tool_path=fake_tool(world, script))]
    assert_failed(world, world.run("run"), *words)


def test_the_process_that_moves_the_data_is_killed(world: World) -> None:
    world.config["data_sources"] = [slow_source()]
    process = world.start("run")
    child = data_plane_of(process.pid)
    wait_for(lambda: world.litter(world.drive))
    child.kill()
    out, err = process.communicate(timeout=60)
    backup = assert_failed(world, Ended(process.returncode, out, err), "killed by signal 9")
    assert "report it" not in backup["Error"]


def slow_source(**changes: Any) -> dict[str, Any]:
    """A source that writes a good start and then hangs."""
    argv = ["sh", "-c", "head -c 20000000 /dev/urandom; sleep 600"]
    return {"provider": "command", "label": "Slow", "argv": argv} | changes


def data_plane_of(parent: int) -> psutil.Process:
    """The child process of a command that moves the data, once it is there."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [
            child
            for child in psutil.Process(parent).children()
            if "backupman.engine.child" in " ".join(child.cmdline())
        ]
        return bool(found)

    wait_for(there)
    return found[0]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_children_and_says_so(world: World, sign: signal.Signals) -> None:
    world.config["data_sources"] = [slow_source()]
    process = world.start("run")
    wait_for(lambda: world.litter(world.drive))
    ended = end(process, sign)
    assert ended.code == 130
    (backup,) = world.backups()
    assert (backup["Status"], backup["Phase"]) == ("failed", None)
    assert "interrupted" in backup["Error"]
    assert [report["Status"] for report in world.reports()] == ["failed"]
    world.assert_clean()


def test_a_dump_that_takes_too_long_is_ended(world: World) -> None:
    world.config["data_sources"] = [slow_source(timeout="1s")]
    assert_failed(world, world.run("run"), "timeout")


def test_a_source_never_runs_twice_at_once(world: World) -> None:
    world.config["data_sources"] = [slow_source()]
    first = world.start("run")
    wait_for(lambda: world.litter(world.drive))
    second = world.run("run")
    assert second.code == 3
    assert "Slow" in second.err
    assert len(world.backups()) == 1
    end(first)
    world.assert_clean()


def test_a_full_disk_under_the_spool(world: World, small_disk: Path) -> None:
    world.config["spool"] = {"folder": str(small_disk), "min_free": "0"}
    world.config["data_sources"] = [
        {"provider": "command", "label": "Big", "argv": ["head", "-c", "60000000", "/dev/urandom"]}
    ]
    assert_failed(world, world.run("run"), "full", "spool")
    assert world.litter(small_disk) == []


def test_the_spool_leaves_room_for_the_database(world: World, small_disk: Path) -> None:
    world.config["spool"] = {"folder": str(small_disk), "min_free": "1GiB"}
    assert_failed(world, world.run("run"), "min_free")


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 8 MB of its own; only root can mount one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    if os.spawnlp(os.P_WAIT, "mount", "mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)) != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    os.spawnlp(os.P_WAIT, "umount", "umount", str(folder))


def s3_drive(endpoint: str, bucket: str) -> dict[str, Any]:
    """A drive on an S3 server, with the smallest parts."""
    return {
        "provider": "s3",
        "label": "Cloud",
        "bucket": bucket,
        "region": "us-east-1",
        "access_key": "test",
        "secret_key": "s3-secret",
        "endpoint": endpoint,
        "force_path_style": True,
        "part_size": "5MiB",
    }


def assert_kept_for_retry(world: World, ended: Ended, *words: str) -> None:
    """The dump is good and no drive has it: it waits in the spool, and everything says so."""
    assert ended.code == 1
    (backup,) = world.backups()
    assert backup["Status"] == "failed"
    for word in ("Cloud", *words):
        assert word.lower() in backup["Error"].lower()
    assert "s3-secret" not in ended.out + ended.err
    (report,) = world.reports()
    assert (report["Status"], report["DumpPath"]) == ("failed", backup["DumpPath"])
    assert world.spool == [Path(backup["DumpPath"]).name]
    wait_for(lambda: not world.children())


def test_a_drive_that_cannot_be_reached(world: World) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        world.config["drives"] = [s3_drive(f"http://127.0.0.1:{unused.getsockname()[1]}", "backups")]
    assert_kept_for_retry(world, world.run("run"), "reach")


def test_a_bucket_that_is_missing(world: World, s3: S3) -> None:
    world.config["drives"] = [s3_drive(s3.endpoint, "no-such-bucket")]
    assert_kept_for_retry(world, world.run("run"), "no-such-bucket")


def test_s3_fails_in_the_middle_of_part_3(world: World, s3: S3, bucket: str) -> None:
    world.config["data_sources"] = [
        {"provider": "command", "label": "Big", "argv": ["head", "-c", "17000000", "/dev/urandom"]}
    ]
    with BreakingProxy(s3.endpoint, b"partNumber=3") as proxy:
        world.config["drives"] = [s3_drive(proxy.endpoint, bucket)]
        assert_kept_for_retry(world, world.run("run"))
        client = s3.client()
        assert "Contents" not in client.list_objects_v2(Bucket=bucket)
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
        proxy.mend()
        assert world.run("retry", "--all").code == 0
    (backup,) = world.backups()
    assert backup["Status"] == "finished"
    head = s3.client().head_object(Bucket=bucket, Key=backup["DriveFiles"][0]["Path"])
    assert head["ContentLength"] == backup["StoredSize"]


class BreakingProxy:
    """A TCP proxy that cuts a connection half-way through a request whose first line holds a word."""

    def __init__(self, endpoint: str, word: bytes) -> None:
        self._target = endpoint.rsplit("/", 1)[-1].split(":")
        self._word: bytes | None = word
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "BreakingProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def mend(self) -> None:
        """Let everything pass from now on."""
        self._word = None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._target[0], int(self._target[1])))
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, requests: bool) -> None:
        passed, doomed = 0, False
        try:
            while data := source.recv(65536):
                doomed = doomed or bool(requests and self._word and self._word in data)
                passed = passed + len(data) if doomed else 0
                if passed > 1_000_000:
                    break
                target.sendall(data)
        except OSError:
            pass
        for end_point in (source, target):
            try:
                end_point.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def test_a_webhook_that_is_down_is_owed_and_never_fails_a_backup(world: World) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        world.config["notifiers"]["webhook"]["endpoints"][0]["url"] = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    ended = world.run("run", "--drain-timeout", "1s")
    assert ended.code == 0
    assert "owed" in ended.err
    (delivery,) = world.run("deliveries", "list", "--json").json["Results"]
    assert delivery["State"] == "owed"
    assert delivery["Attempts"] >= 1
    world.config["notifiers"]["webhook"]["endpoints"][0]["url"] = f"{world.receiver.url}/hook"
    assert world.run("deliveries", "retry").code == 0
    assert [report["Status"] for report in world.reports()] == ["finished"]


def test_an_smtp_server_that_refuses(world: World, receiver: Any) -> None:
    world.config["notifiers"]["mail"] = {
        "enabled": True,
        "smtp_host": "127.0.0.1",
        "smtp_port": closed_port(),
        "destinations": [{"name": "Ops", "email": "ops@example.com"}],
    }
    ended = world.run("run", "--drain-timeout", "1s")
    assert ended.code == 0
    deliveries = world.run("deliveries", "list", "--json").json["Results"]
    assert {delivery["Endpoint"].split("/")[0]: delivery["State"] for delivery in deliveries} == {
        "mail": "owed",
        "webhook": "delivered",
    }


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def test_a_state_folder_that_cannot_be_written(world: World) -> None:
    (world.folder / "state").write_text("a file where a folder should be")
    ended = world.run("run")
    assert ended.code == 1
    assert "state" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_sources: [", ["config.yml:1", "YAML"]),
        ("data_sources:\n  - {provider: sqlite, label: A, db_path: x}\ndrivers: []\n", ["config.yml:3", "drives"]),
        (
            "data_sources:\n  - {provider: sqlite, label: A, db_path: x}\n"
            "  - {provider: sqlite, label: A, db_path: y}\n"
            "drives:\n  - {provider: local, label: D, folder: d}\n",
            ["config.yml:3", "twice"],
        ),
    ],
    ids=["corrupt", "unknown key", "label twice"],
)
def test_a_wrong_config(text: str, words: list[str], world: World) -> None:
    broken = world.folder / "broken.yml"
    broken.write_text(text)
    for command in (["run", "-c", str(broken)], ["-c", str(broken), "config", "check"]):
        ended = world.run(*command)
        assert ended.code == 2
        for word in words:
            assert word.replace("config.yml", "broken.yml") in ended.err
        assert "Traceback" not in ended.err


ODD_PASSWORD = "p w'\"$HOME%s\\ ünïcödé#;:@/"


def test_odd_passwords_and_table_names_end_well(world: World, postgres: Postgres, postgres_database: str) -> None:
    role = f"odd_{os.getpid()}"
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute('create table "a "" b\'; drop table x" (id int)')
        connection.execute('insert into "a "" b\'; drop table x" values (7)')
        quoted = ODD_PASSWORD.replace("'", "''")
        connection.execute(f"create role {role} login superuser password '{quoted}'".encode())
    try:
        world.config["data_sources"] = [
            postgres_source(postgres, db_name=postgres_database, user=role, password=ODD_PASSWORD)
        ]
        ended = world.run("run")
        assert ended.code == 0, ended.err
        assert ODD_PASSWORD not in ended.out + ended.err
    finally:
        with postgres.connect(postgres_database, autocommit=True) as connection:
            connection.execute(f"drop role {role}".encode())
