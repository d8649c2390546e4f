"""`backupman restore` gives back what was dumped, from any copy that is good, and nothing that is not."""

import gzip
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import Ended, World, end, wait_for
from tests.servers import program
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.servers.s3 import S3

ENCRYPTIONS: list[dict[str, Any]] = [{}, {"encryption": {}}]
PIPELINES: list[dict[str, Any]] = [
    {"compression": {"method": method}, **encryption}
    for method in ("gzip", "zstd", "none")
    for encryption in ENCRYPTIONS
]


@pytest.fixture
def key(tmp_path: Path) -> str:
    return new_key(tmp_path / "key.txt")


def new_key(file: Path) -> str:
    """Make an age identity in the file; its public key."""
    subprocess.run([program("age-keygen", "age"), "-o", str(file)], check=True, capture_output=True)
    return file.read_text().split("public key: ")[1].split()[0]


@pytest.fixture
def two_drives(world: World) -> World:
    world.config["drives"].append({"provider": "local", "label": "Other", "folder": str(world.folder / "other")})
    return world


def back_up(world: World) -> Path:
    """Make one backup; its object on the first drive."""
    ended = world.run("run")
    assert ended.code == 0, ended.err
    return world.drive / world.objects()[-1]


def names_of(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [name for (name,) in database.execute("select name from users order by 1")]


def assert_nothing(world: World, ended: Ended, *words: str, code: int = 1) -> None:
    """One sentence with the words, no trace, and no file of what was not good."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
    assert [name for name in world.litter(world.folder) if name.startswith(("back.", "new/"))] == []
    assert world.children() == []


@pytest.mark.service("age")
@pytest.mark.parametrize(
    "pipeline", PIPELINES, ids=lambda pipeline: "-".join([*pipeline, pipeline["compression"]["method"]])
)
def test_every_pipeline_is_undone(world: World, key: str, pipeline: dict[str, Any]) -> None:
    if "encryption" in pipeline:
        pipeline = pipeline | {"encryption": {"recipients": [key]}}
    world.config["pipeline"] = pipeline
    back_up(world)
    del world.config["pipeline"]  # what the config says today does not matter
    ended = world.run("restore", "latest", "--output", "new/folder/back.sqlite", "--identity", "key.txt")
    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert names_of(world.folder / "new/folder/back.sqlite") == ["Ada", "Grace"]
    assert (world.folder / "new/folder/back.sqlite").stat().st_mode & 0o777 == 0o600
    assert world.litter(world.folder / "new") == ["folder/back.sqlite"]


def test_standard_output_holds_the_dump_and_nothing_else(world: World) -> None:
    stored = back_up(world)
    with (world.folder / "piped").open("wb") as out:
        argv = [sys.executable, "-m", "backupman", "restore", "latest", "-o", "-", "-c", str(world.config_file)]
        subprocess.run(argv, stdout=out, check=True, cwd=world.folder)
    assert (world.folder / "piped").read_bytes() == gzip.decompress(stored.read_bytes())


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "replaced", "gone"])
def test_the_next_drive_is_taken_where_a_copy_is_damaged(two_drives: World, damage: str) -> None:
    world = two_drives
    stored = back_up(world)
    damaged(stored, damage)
    ended = world.run("restore", "latest", "-o", "back.sqlite")
    assert ended.code == 0, ended.err
    assert "Disk: " in ended.err
    assert names_of(world.folder / "back.sqlite") == ["Ada", "Grace"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "replaced", "gone"])
@pytest.mark.parametrize("method", ["gzip", "zstd", "none"])
def test_what_is_damaged_is_never_given_back(world: World, damage: str, method: str) -> None:
    world.config["pipeline"] = {"compression": {"method": method}}
    damaged(back_up(world), damage)
    ended = world.run("restore", "latest", "-o", "back.sqlite")
    assert_nothing(world, ended, "App: no copy can be restored: Disk: ")


def test_a_pipe_that_was_given_damaged_bytes_is_told_so(two_drives: World) -> None:
    world = two_drives
    world.config["data_sources"] = [{"provider": "command", "label": "App", "argv": ["seq", "100000"]}]
    world.config["pipeline"] = {"compression": {"method": "none"}}
    damaged(back_up(world), "flipped")
    ended = world.run("restore", "latest", "-o", "-")
    assert_nothing(world, ended, "its sha256 is not the one that was recorded; 588895 bytes had been written by then")
    assert len(ended.out) == 588895


def damaged(stored: Path, how: str) -> None:
    data = bytearray(stored.read_bytes())
    if how == "gone":
        stored.unlink()
        return
    if how == "flipped":
        data[len(data) // 2] ^= 1
    elif how == "cut":
        del data[-1]
    elif how == "longer":
        data += b"\0"
    else:
        data = bytearray(gzip.compress(b"something else"))
    stored.write_bytes(data)


@pytest.mark.service("age")
def test_a_wrong_identity_and_none_are_told_apart(world: World, key: str) -> None:
    world.config["pipeline"] = {"encryption": {"recipients": [key]}}
    back_up(world)
    new_key(world.folder / "other.txt")
    (world.folder / "empty.txt").write_text("# nothing\n")
    calls = {
        (): ("the backup is encrypted", "--identity FILE", 2),
        ("--identity", "other.txt"): ("cannot be decrypted", "Disk: ", 1),
        ("--identity", "empty.txt"): ("empty.txt holds no line that begins with AGE-SECRET-KEY-1", "Error: ", 1),
        ("--identity", "gone.txt"): ("gone.txt cannot be read", "No such file", 1),
    }
    for words, (first, second, code) in calls.items():
        ended = world.run("restore", "latest", "-o", "back.sqlite", *words)
        assert_nothing(world, ended, first, second, code=code)
        assert "AGE-SECRET-KEY-1Q" not in ended.err + ended.out


def test_a_file_that_is_there_is_left_alone(world: World) -> None:
    back_up(world)
    (world.folder / "mine.sqlite").write_text("mine")
    ended = world.run("restore", "latest", "-o", "mine.sqlite")
    assert_nothing(world, ended, "mine.sqlite is there already, and nothing is overwritten", code=2)
    assert "/ is there already" in world.run("restore", "latest", "--output", "/").err
    assert (world.folder / "mine.sqlite").read_text() == "mine"


def test_what_there_is_not_is_said(two_drives: World) -> None:
    world = two_drives
    assert_nothing(
        world, world.run("restore", "latest", "-o", "back.x"), "no backup with a copy is on record here", code=2
    )
    back_up(world)
    calls = {
        (
            "latest",
            "--source",
            "Shop",
        ): "no backup of Shop with a copy is on record here: see `backupman list`, and `backupman reconcile`",
        ("latest", "--from-drive", "Dusk"): "there is no drive 'Dusk'",
        ("0", "--source", "App"): "go with `latest`",
        ("nonsense",): "there is no backup 'nonsense'",
    }
    for words, sentence in calls.items():
        assert_nothing(world, world.run("restore", *words, "-o", "back.x"), sentence, code=2)


def test_only_the_drive_that_is_named_is_read(two_drives: World) -> None:
    world = two_drives
    damaged(back_up(world), "flipped")
    ended = world.run("restore", "latest", "-o", "back.sqlite", "--from-drive", "Disk")
    assert_nothing(world, ended, "no copy can be restored: Disk: ")
    assert world.run("restore", "latest", "-o", "back.sqlite", "--from-drive", "Other").code == 0


def test_an_interrupt_leaves_nothing(world: World) -> None:
    argv = [sys.executable, "-c", "import os; [os.write(1, b'x' * 2**20) for _ in range(64)]"]
    world.config["data_sources"] = [{"provider": "command", "label": "App", "argv": argv}]
    world.config["pipeline"] = {"compression": {"method": "none"}}
    back_up(world)
    process = world.start("restore", "latest", "-o", "-")  # which nobody reads, so that it cannot end
    out = process.stdout
    assert out is not None
    wait_for(lambda: select.select([out], [], [], 0)[0])
    ended = end(process, signal.SIGINT)
    assert ended.code == 130, ended.err
    assert "App: the restore was interrupted" in ended.err
    assert world.children() == []


def test_a_reader_that_ends_early_is_named(world: World) -> None:
    argv = [sys.executable, "-c", "import os; [os.write(1, os.urandom(2**20)) for _ in range(8)]"]
    world.config["data_sources"] = [{"provider": "command", "label": "App", "argv": argv}]
    back_up(world)
    script = f"set -o pipefail; {sys.executable} -m backupman restore latest -o - -c config.yml | head -c 10 >/dev/null"
    done = subprocess.run(["bash", "-c", script], cwd=world.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "what reads standard output has ended before the dump has" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.service("age")
def test_postgres_from_a_bucket(world: World, key: str, postgres: Postgres, s3: S3, bucket: str) -> None:
    first, second = postgres.create_database(), postgres.create_database()
    rows = "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 20000) i"
    postgres.psql(first, rows)
    login = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "password": postgres.password}
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    place = {"provider": "s3", "label": "Cloud", "bucket": bucket, "region": s3.region, "endpoint": s3.endpoint}
    world.config |= {
        "data_sources": [{"provider": "postgres", "label": "pg", "db_name": first, **login}],
        "drives": [place | keys],
        "pipeline": {"encryption": {"recipients": [key]}},
    }
    assert world.run("run").code == 0
    ended = world.run("restore", "latest", "--source", "pg", "-o", "back.sql", "--identity", "key.txt")
    assert ended.code == 0, ended.err
    postgres.psql(second, world.folder / "back.sql")
    same = "SELECT * FROM t ORDER BY i"
    assert postgres.psql(second, same) == postgres.psql(first, same)
    for name in (first, second):
        postgres.drop_database(name)


def test_mariadb_through_a_pipe(world: World, mariadb: Mariadb, mariadb_database: str) -> None:
    mariadb.client(mariadb_database, "CREATE TABLE t AS SELECT seq, md5(seq) AS m FROM seq_1_to_20000")
    login = {"host": mariadb.host, "port": mariadb.port, "user": mariadb.user, "password": mariadb.password}
    world.config["data_sources"] = [{"provider": "mariadb", "label": "db", "db_name": mariadb_database, **login}]
    back_up(world)
    argv = [sys.executable, "-m", "backupman", "restore", "latest", "-o", "-", "-c", str(world.config_file)]
    dump = subprocess.run(argv, check=True, cwd=world.folder, capture_output=True).stdout
    restored = mariadb.create_database()
    mariadb.client(restored, dump)
    same = "SELECT * FROM t ORDER BY seq"
    assert mariadb.client(restored, same) == mariadb.client(mariadb_database, same)
    mariadb.drop_database(restored)
