"""What every source that restores promises, as tests.

A provider's test subclasses `RestoreContract`, once for each format that it dumps in:

class TestRestorePlain(RestoreContract):
    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, postgres, awkward): ...  # its first database holds tables with rows, some 100 KiB at least

    @pytest.fixture
    def content(self, postgres): ...  # the name of a database -> what stands in it, compared by ==

    @pytest.fixture
    def target(self, source): ...  # a name that is free, and is free again after the test
"""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import pytest

from backupman.errors import Interrupted, PipelineError, RestoreError
from backupman.sources import Dump, Origin, Source, Target
from tests.contracts._children import children, watched
from tests.contracts.source import dumped


class Reader(io.RawIOBase):
    """A dump as a restore is given it: in pieces, and with an error in place of its end where one is given."""

    def __init__(self, data: bytes, error: Exception | None = None, piece: int = 2**16) -> None:
        self._data = io.BytesIO(data)
        self._error = error
        self._piece = piece
        self.ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._piece if size is None or size < 0 else min(size, self._piece)
        chunk = self._data.read(wanted)
        if not chunk and self._error:
            raise self._error
        self.ended = not chunk
        return chunk


def reader(data: bytes, error: Exception | None = None) -> BinaryIO:
    return cast(BinaryIO, Reader(data, error))


def processes_of(folder: Path) -> list[str]:
    """The processes of the whole machine that have a folder among their arguments, or work in it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            argv = (place / "cmdline").read_bytes()
            if str(folder).encode() in argv or _works_in(place, folder):
                found.append(argv.decode(errors="replace"))
    return found


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink().is_relative_to(folder)
    except PermissionError:  # of another account: in a container root may lack the right to see it
        return False


class RestoreContract:
    """The promises of all sources that restore."""

    query: ClassVar[str] = "SELECT 42"
    """Its first value is 42."""
    nothing: ClassVar[str] = "SELECT NULL"
    writes: ClassVar[str] = "CREATE TABLE written (x integer)"
    endless: ClassVar[str]
    """A query that does not end by itself within a minute."""

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls) -> Source:
        """A source whose first database has tables with rows."""
        raise NotImplementedError

    @pytest.fixture
    def content(self) -> Callable[[str], Any]:
        """What stands in a database of the source's server, compared by `==`."""
        raise NotImplementedError

    @pytest.fixture
    def target(self) -> Iterator[str]:
        """A name for a database that is not there, and that is gone after the test."""
        raise NotImplementedError

    def broken(self, data: bytes) -> bytes:
        """A dump that fails half-way, when some of it has been restored."""
        return data[: len(data) // 2]

    def scratch_target(self, folder: Path) -> str:
        """A name for a database on a throwaway server."""
        return "drilled"

    @pytest.fixture(scope="class")
    @classmethod
    def database(cls, source: Source) -> str:
        return source.list_databases()[0]

    @pytest.fixture(scope="class")
    @classmethod
    def taken(cls, source: Source, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dump, bytes]:
        """One dump of the source's first database, which no test changes."""
        return dumped(source, tmp_path_factory.mktemp("dump"))

    @pytest.fixture
    def data(self, taken: tuple[Dump, bytes]) -> bytes:
        return taken[1]

    @pytest.fixture
    def origin(self, source: Source, database: str, taken: tuple[Dump, bytes]) -> Origin:
        return Origin(database, source.suffix_of(database), taken[0].facts)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """The folder that the engine makes for one restore."""
        folder = tmp_path / "restore folder"
        folder.mkdir(mode=0o700)
        return folder

    def test_a_round_trip(
        self,
        source: Source,
        database: str,
        taken: tuple[Dump, bytes],
        origin: Origin,
        content: Callable[[str], Any],
        target: str,
        folder: Path,
    ) -> None:
        dump, data = taken
        assert not source.exists(target)
        stream = Reader(data)
        assert source.restore(cast(BinaryIO, stream), origin, Target(target), folder) == []
        assert stream.ended, "only who reads a dump up to its end knows that it is good"
        assert source.exists(target)
        assert content(target) == content(database)
        assert dump.manifest is not None
        assert [table for table in dump.manifest.tables if table.rows], "the contract needs tables with rows"
        assert dump.manifest.differences(source.count_rows(target)) == []
        assert children() == []

    def test_the_stored_dump_is_whole(self, source: Source, data: bytes, origin: Origin, folder: Path) -> None:
        source.inspect(reader(data), origin, folder)
        with pytest.raises(Exception, match=f"^{source.label}: "):
            source.inspect(reader(data[: len(data) // 2]), origin, folder)
        assert children() == []

    def test_a_target_that_exists_is_refused(
        self, source: Source, data: bytes, origin: Origin, target: str, folder: Path, content: Callable[[str], Any]
    ) -> None:
        source.restore(reader(data), origin, Target(target), folder)
        before = content(target)
        with pytest.raises(RestoreError, match=f"^{source.label}: ") as refused:
            source.restore(reader(data), origin, Target(target), folder)
        assert refused.value.permanent
        assert content(target) == before

    def test_what_fails_half_way_leaves_nothing(
        self, source: Source, data: bytes, origin: Origin, target: str, folder: Path
    ) -> None:
        with pytest.raises(RestoreError, match=f"^{source.label}: "):
            source.restore(reader(self.broken(data)), origin, Target(target), folder)
        self.nothing_is_left(source, target)

    @pytest.mark.parametrize(
        ("share", "error"),
        [(0.0, Interrupted("given up")), (0.6, PipelineError("damaged")), (1.0, PipelineError("damaged"))],
        ids=["at once", "half-way", "at the very end"],
    )
    def test_an_error_of_the_reader_passes_through(
        self, source: Source, data: bytes, origin: Origin, target: str, folder: Path, error: Exception, share: float
    ) -> None:
        with pytest.raises(type(error)) as raised:
            source.restore(reader(data[: int(len(data) * share)], error), origin, Target(target), folder)
        assert raised.value is error
        self.nothing_is_left(source, target)

    def nothing_is_left(self, source: Source, target: str) -> None:
        assert not source.exists(target)
        assert children() == []

    def test_overwriting_keeps_the_old_one_until_the_new_one_is_whole(
        self, source: Source, data: bytes, origin: Origin, target: str, folder: Path, content: Callable[[str], Any]
    ) -> None:
        source.restore(reader(data), origin, Target(target), folder)
        before = content(target)
        for stream in (reader(self.broken(data)), reader(data, PipelineError("damaged"))):
            with pytest.raises((RestoreError, PipelineError)):
                source.restore(stream, origin, Target(target, overwrite=True), folder)
            assert content(target) == before
        source.restore(reader(data), origin, Target(target, overwrite=True), folder)
        assert content(target) == before

    def test_overwriting_what_is_not_there(
        self, source: Source, data: bytes, origin: Origin, target: str, folder: Path
    ) -> None:
        source.restore(reader(data), origin, Target(target, overwrite=True), folder)
        assert source.exists(target)
        source.remove(target)
        source.remove(target)
        assert not source.exists(target)

    def test_no_secret_can_be_seen_from_outside(
        self, source: Source, data: bytes, origin: Origin, target: str, folder: Path
    ) -> None:
        with watched() as seen:
            source.restore(reader(data), origin, Target(target), folder)
            source.count_rows(target)
        for secret in source.secrets():
            assert not [child.argv for child in seen if secret.encode() in child.argv + child.environ]

    def test_a_query_is_answered(self, source: Source, database: str) -> None:
        assert source.scalar(database, self.query, 30) == "42"
        assert source.scalar(database, self.query + " ; ", 30) == "42"
        assert source.scalar(database, self.nothing, 30) is None
        assert source.scalar(database, f"{self.query} WHERE 1 = 0", 30) is None

    def test_a_query_that_writes_or_is_none_is_refused(
        self, source: Source, database: str, content: Callable[[str], Any]
    ) -> None:
        before = content(database)
        for sql in (self.writes, f"{self.query}; {self.writes}", "this is no SQL", ""):
            with pytest.raises(RestoreError, match=f"^{source.label}: ") as refused:
                source.scalar(database, sql, 30)
            assert refused.value.permanent
        assert content(database) == before

    def test_a_query_that_takes_too_long_is_ended(self, source: Source, database: str) -> None:
        with pytest.raises(RestoreError, match=f"^{source.label}: .*(timeout|longer|too long)"):
            source.scalar(database, self.endless, 0.5)
        assert children() == []

    def test_a_throwaway_server(
        self, source: Source, taken: tuple[Dump, bytes], origin: Origin, tmp_path: Path, folder: Path
    ) -> None:
        dump, data = taken
        place = tmp_path / "scratch"
        place.mkdir(mode=0o700)
        name = self.scratch_target(place)
        with source.scratch(place, origin) as server:
            assert not server.exists(name)
            server.restore(reader(data), origin, Target(name), folder)
            assert dump.manifest is not None
            assert dump.manifest.differences(server.count_rows(name)) == []
            assert server.scalar(name, self.query, 30) == "42"
            assert not [secret for secret in source.secrets() if secret in repr(server.revealed())]
        self.no_server_is_left(place)

    def test_a_throwaway_server_ends_with_an_error_too(self, source: Source, origin: Origin, tmp_path: Path) -> None:
        place = tmp_path / "scratch"
        place.mkdir(mode=0o700)
        with pytest.raises(Interrupted), source.scratch(place, origin):
            raise Interrupted("given up")
        self.no_server_is_left(place)

    def no_server_is_left(self, place: Path) -> None:
        assert [path.name for path in place.iterdir()] == []
        assert processes_of(place) == []
        assert children() == []
