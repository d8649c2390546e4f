"""What is noted of a MySQL database while it is dumped: the rows of its tables, counted beside the dump.

Neither dump program can share its snapshot, so ours is opened as shortly before the tool's as can be.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from backupman.errors import SourceError
from backupman.manifest import Counting, TableRows
from backupman.sources._mysql_content import rows_of
from backupman.sources._mysql_server import MysqlServer, Session

_CONNECTIONS = 3
"""That of the dump program, that of the lock watch, and this one."""

_OPEN_SECONDS = 30
_SPARE_SECONDS = 10
_ROWS_LEFT_OUT = ("--where", "--no-data", "--ignore-table-data")


class Count:
    """The rows of one database, counted in a thread from a snapshot of its own; it never fails a dump."""

    def __init__(self, source: MysqlServer, database: str, wanted: Callable[[str], bool], counting: Counting) -> None:
        self._source = source
        self._database = database
        self._wanted = wanted
        self._counting = counting
        self._seconds = source.manifest.timeout.total_seconds()
        self._opened = Event()
        self._connection = ""
        self._thread = Thread(target=self._run, name="mysql-manifest", daemon=True)
        self.tables: list[TableRows] = []
        self.warnings: list[str] = []

    def begin(self, session: Session) -> None:
        """Open the snapshot, and begin to count, unless the account may not have three connections at once."""
        [[limit]] = session.rows("SELECT @@max_user_connections")
        if 0 < int(limit) < _CONNECTIONS:
            self._warn(f"the account may have {limit} connections at once, and this takes {_CONNECTIONS}")
            return
        self._thread.start()
        self._opened.wait(_OPEN_SECONDS)

    def finish(self) -> None:
        """Wait for the end, which comes within `manifest.timeout` of the beginning."""
        if self._thread.ident is None:
            return
        self._thread.join(self._seconds + _SPARE_SECONDS)
        if self._thread.is_alive():
            self.give_up()
            self.tables = []
            self._warn("the server does not answer")

    def give_up(self) -> None:
        """End it at once, if it is still under way."""
        if self._thread.is_alive() and self._connection:
            with suppress(SourceError), self._source.session() as session:
                session.rows(f"KILL {self._connection}")
            self._thread.join(_SPARE_SECONDS)

    def _run(self) -> None:
        try:
            with self._source.session(self._database) as session:
                [self._connection] = session.column("SELECT CONNECTION_ID()")
                session.rows("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                session.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                self._opened.set()
                self.tables = rows_of(session, self._database, self._counting, self._seconds, self._wanted)
        except SourceError as error:
            self._warn(error.sentence.removeprefix(f"{self._source.label}: "))
        finally:
            self._opened.set()

    def _warn(self, why: str) -> None:
        self.warnings = [f"{self._source.label}: the rows of {self._database} were not counted for the manifest: {why}"]


def counting_of(counting: Counting, options: list[str]) -> Counting:
    """How rows are counted when the tool is told `options`: not at all where it leaves some of them out."""
    left_out = any(option.replace("_", "-").startswith(_ROWS_LEFT_OUT) for option in options)
    return "none" if left_out else counting


@contextmanager
def counted(count: Count, session: Session) -> Iterator[None]:
    """Count while the `with` lasts, in which the dump is made, and a little longer."""
    try:
        count.begin(session)
        yield
        count.finish()
    except BaseException:
        count.give_up()
        raise
