"""PostgreSQL's directory format: tables are packed while others are still being dumped."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backupman.errors import DumpError
from backupman.sources._postgres_directory import Packed
from backupman.sources.postgres import Postgres as PostgresSource
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.service("postgres")

_HELD_UP = """
tries=0
until [ -z "$(find {folder}/dump -name '[0-9]*.dat')" ]; do
    sleep 0.1
    tries=$((tries + 1))
    [ $tries -lt 900 ] || exit 9
done
"""
"""Waits until all rows were packed and removed, which never happens where that begins after the tool's end."""


@pytest.fixture
def held_up(postgres: Postgres, postgres_database: str, tmp_path: Path) -> Iterator[Callable[[str], PostgresSource]]:
    """Makes a source whose pg_dump ends in its own way, when the rows were taken from it."""
    with postgres.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE a AS SELECT 1 AS n; CREATE TABLE b AS SELECT repeat('b', 1000) AS text")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("pg_restore", "psql"):
        (tools / name).symlink_to(postgres.bin / name)

    def made(end: str) -> PostgresSource:
        script = _HELD_UP.replace("{folder}", str(tmp_path))
        version = 'case "$*" in --version) exec $REAL/pg_dump --version; esac'
        (tools / "pg_dump").write_text(
            f'#!/bin/sh\nREAL={postgres.bin}\n{version}\n$REAL/pg_dump "$@" || exit\n{script}\n{end}\n'
        )
        (tools / "pg_dump").chmod(0o755)
        login = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "password": postgres.password}
        settings = {"label": "Shop", "db_name": postgres_database, "tool_path": tools, "format": "directory"}
        return PostgresSource.model_validate({"provider": "postgres", **login, **settings})

    yield made


def test_rows_are_packed_while_the_tool_still_runs(
    held_up: Callable[[str], PostgresSource], postgres_database: str, tmp_path: Path
) -> None:
    source = held_up("exit 0")
    with source.dump(postgres_database, tmp_path) as dump:
        data = b"".join(iter(lambda: dump.stream.read(1000), b""))
    assert dump.facts["server_version"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        *rows, last = tar.getnames()
    assert last == "dump/toc.dat"
    assert len(rows) == 2


def test_a_tool_that_fails_behind_whole_tables_has_failed(
    held_up: Callable[[str], PostgresSource], postgres_database: str, tmp_path: Path
) -> None:
    source = held_up("echo 'disk on fire' >&2; exit 3")
    read = b""
    with (
        pytest.raises(DumpError, match=r"^Shop: pg_dump failed with exit code 3: disk on fire"),
        source.dump(postgres_database, tmp_path) as dump,
    ):
        while chunk := dump.stream.read(1000):
            read += chunk
    assert b"b" * 1000 in read  # rows had gone out by then, and no end behind them
    assert not read.endswith(bytes(1024))


def test_a_file_that_is_still_written_stays_until_the_end(tmp_path: Path) -> None:
    place = tmp_path / "dump"
    place.mkdir()
    (place / "1.dat").write_bytes(b"whole")
    (place / "toc.dat").write_bytes(b"contents")
    looks = 0

    def ended(within: float) -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            growing.write(b" at last")
            growing.close()
        return looks == 3

    growing = (place / "2.dat").open("wb")
    growing.write(b"whole")
    growing.flush()
    with Packed("Shop", place, ended) as stream, tarfile.open(fileobj=io.BytesIO(stream.readall())) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]  # all files
    assert list(found) == ["dump/1.dat", "dump/toc.dat", "dump/2.dat"]
    assert found["dump/2.dat"] == b"whole at last"


def test_files_that_fill_their_last_block_end_nothing(tmp_path: Path) -> None:
    place = tmp_path / "dump"
    place.mkdir()
    files = {"1.dat": bytes(512), "blob_2.dat": b"", "blobs.toc": bytes(1024), "toc.dat": b"contents"}
    for name, content in files.items():
        (place / name).write_bytes(content)
    with Packed("Shop", place, lambda _: True) as stream, tarfile.open(fileobj=io.BytesIO(stream.readall())) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]  # all files
    assert found == {f"dump/{name}": content for name, content in files.items()}
