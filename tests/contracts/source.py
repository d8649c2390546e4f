"""What every source promises, as tests.

A provider's test subclasses `SourceContract`, or `ToolContract` if it runs a tool and has a secret:

class TestMariadb(ToolContract):
    tool = "mariadb-dump"
    package = "mariadb-client"

    @pytest.fixture
    def source(self, mariadb, mariadb_database): ...  # fills the database with at least SIZE bytes of rows

    @pytest.fixture
    def rows(self, ...): ...  # what the source's database holds

    @pytest.fixture
    def restored_rows(self, ...): ...  # dump bytes -> what an empty database holds once the plain tools restored them
"""

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from backupman.errors import DumpError
from backupman.sources import Dump, Source
from tests.contracts._children import children, kill_child, watched

SIZE = 4 * 2**20
"""The least that the dump must weigh, so that the tool still writes (its pipe holds 1 MiB) after the first read."""

_CHUNK = 2**16


def read(dump: Dump) -> bytes:
    """The rest of a dump's stream, read as the engine reads it."""
    chunks = []
    while chunk := dump.stream.read(_CHUNK):
        dump.saw(chunk)
        chunks.append(chunk)
    return b"".join(chunks)


def dumped(source: Source, folder: Path, database: str = "") -> tuple[Dump, bytes]:
    """One dump (of the first database) that passed the gate, and its bytes."""
    database = database or source.list_databases()[0]
    with source.dump(database, folder) as dump:
        data = read(dump)
    source.accept(database, dump)
    return dump, data


class SourceContract:
    """The promises of all sources."""

    @pytest.fixture
    def source(self) -> Source:
        """A source whose first database makes a dump of at least SIZE bytes."""
        raise NotImplementedError

    @pytest.fixture
    def rows(self) -> Any:
        """What stands in the source's first database, not empty; compared by `==`."""
        raise NotImplementedError

    @pytest.fixture
    def restored_rows(self) -> Callable[[bytes], Any]:
        """Restores a dump with the plain tools into a new, empty database and gives what stands there, like `rows`."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """The folder that the engine makes for one dump."""
        folder = tmp_path / "dump folder"
        folder.mkdir(mode=0o700)
        return folder

    @pytest.fixture
    def database(self, source: Source) -> str:
        return source.list_databases()[0]

    def test_a_dump_restores_with_equal_rows(
        self, source: Source, folder: Path, rows: Any, restored_rows: Callable[[bytes], Any]
    ) -> None:
        dump, data = dumped(source, folder)
        assert dump.size == len(data) >= SIZE, "the contract needs a larger database"
        assert rows, "the contract needs rows"
        assert restored_rows(data) == rows

    def test_a_second_dump_restores_too(
        self, source: Source, tmp_path: Path, rows: Any, restored_rows: Callable[[bytes], Any]
    ) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            _, data = dumped(source, tmp_path / name)
        assert restored_rows(data) == rows

    def test_the_dump_says_what_made_it(self, source: Source, folder: Path) -> None:
        dump, _ = dumped(source, folder)
        assert dump.facts["tool"]
        assert dump.warnings == []

    def test_the_gate_refuses_an_empty_dump(self, source: Source, database: str) -> None:
        with pytest.raises(DumpError, match=f"^{source.label}: ") as refused:
            source.accept(database, Dump(io.BytesIO()))
        assert refused.value.permanent

    def test_the_gate_refuses_a_dump_that_is_cut_off(self, source: Source, database: str, folder: Path) -> None:
        with source.dump(database, folder) as dump:
            left = SIZE // 2
            while chunk := dump.stream.read(_CHUNK):
                dump.saw(chunk[:left])
                left = max(0, left - len(chunk))
        with pytest.raises(DumpError, match=f"^{source.label}: .*cut off") as refused:
            source.accept(database, dump)
        assert refused.value.permanent

    def test_an_error_of_the_reader_ends_the_dump(self, source: Source, database: str, folder: Path) -> None:
        before = _open_files()
        with pytest.raises(_ReaderError), source.dump(database, folder) as dump:
            assert dump.stream.read(1)
            raise _ReaderError
        assert children() == []
        assert _open_files() == before

    def test_leaving_before_the_end_does_not_hang(self, source: Source, database: str, folder: Path) -> None:
        with contextlib.suppress(DumpError), source.dump(database, folder) as dump:
            assert dump.stream.read(1)
        assert children() == []

    def test_check_passes_and_leaves_nothing(self, source: Source) -> None:
        before = _open_files()
        source.check()
        assert children() == []
        assert _open_files() == before

    def test_an_unknown_key_is_refused(self, source: Source) -> None:
        with pytest.raises(ValidationError, match="nonsense") as refused:
            type(source).model_validate(source.revealed() | {"nonsense": 1})
        assert not [secret for secret in source.secrets() if secret in str(refused.value)]

    def test_the_settings_reach_the_child_whole(self, source: Source) -> None:
        assert type(source).model_validate(source.revealed()) == source


class ToolContract(SourceContract):
    """The promises of sources that run a native tool and have a secret."""

    tool: ClassVar[str]
    """The tool's name as `ps` shows it."""

    package: ClassVar[str]
    """What the error of a missing tool says to install."""

    secret_in_environ: ClassVar[bool] = False
    """Whether the tool gets its secret by its environment because it knows no other way."""

    @pytest.fixture
    def without_tool(self, source: Source, tmp_path: Path) -> Source:
        """The same source where its tool is not installed."""
        empty = tmp_path / "empty"
        empty.mkdir()
        return source.model_copy(update={"tool_path": empty})

    def test_a_missing_tool_is_named_with_its_package(self, without_tool: Source, database: str, folder: Path) -> None:
        with pytest.raises(DumpError, match=f"^{without_tool.label}: ") as refused, without_tool.dump(database, folder):
            pass
        assert self.package in str(refused.value)
        assert refused.value.permanent

    def test_a_tool_that_is_killed_has_failed(self, source: Source, database: str, folder: Path) -> None:
        with pytest.raises(DumpError, match=f"^{source.label}: .*signal 9"), source.dump(database, folder) as dump:
            assert dump.stream.read(1)
            kill_child(self.tool)
            read(dump)
        assert children() == []

    def test_no_secret_can_be_seen_from_outside(self, source: Source, folder: Path) -> None:
        secrets = list(source.secrets())
        assert secrets, "the contract needs a source with a secret"
        with watched() as seen:
            dump, _ = dumped(source, folder)
        assert self.tool in {child.name for child in seen}
        for secret in secrets:
            assert not [child.argv for child in seen if secret.encode() in child.argv]
            if not self.secret_in_environ:
                assert not [child.name for child in seen if secret.encode() in child.environ]
            for text in (repr(source), str(source), source.model_dump_json(), repr(dump.facts), repr(dump.warnings)):
                assert secret not in text
                assert json.dumps(secret)[1:-1] not in text


class _ReaderError(Exception):
    """What reads the dump has failed."""


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the same count each time is what matters
