"""Ends a dump that waits too long for a lock: neither client has an option of its own for that in all versions."""

import logging
from threading import Event, Thread
from time import monotonic
from types import TracebackType

import pymysql

from backupman.sources._mysql_server import Session

_LOG = logging.getLogger(__name__)
_STATEMENTS = ("SHOW ", "SELECT /*!40001 SQL_NO_CACHE */")
"""How the statements of every dump tool begin that can wait for a lock."""


class LockWatch:
    """Watches the tool's connection while the `with` lasts, and kills it after `seconds` (0: never) of waiting.

    The tool's connection is the one that came after ours, of our account, from our host, in the dumped database,
    with a statement that only a dump tool makes. A server never shows whose process it is.
    """

    def __init__(self, session: Session, database: str, seconds: float) -> None:
        self._session = session
        self._database = database
        self._seconds = seconds
        self._done = Event()
        self._thread = Thread(target=self._watch, name="mysql-lock-watch", daemon=True)
        self.overdue = ""

    def __enter__(self) -> "LockWatch":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        since: dict[tuple[int, str], float] = {}
        try:
            own = int(self._session.column("SELECT CONNECTION_ID()")[0])
            while self._seconds and not self._done.wait(min(1.0, self._seconds / 4)):
                waiting = self._waiting(own)
                since = {query: since.get(query, monotonic()) for query in waiting}
                if late := [query for query in waiting if monotonic() - since[query] >= self._seconds]:
                    connection, self.overdue = late[0]
                    self._session.rows(f"KILL {connection}")
                    return
        except pymysql.Error as error:
            _LOG.warning("lock_timeout is no longer watched: %s", error)

    def _waiting(self, own: int) -> list[tuple[int, str]]:
        found = self._session.rows("SHOW FULL PROCESSLIST")
        user, host = next(((row[1], _host(row[2])) for row in found if row[0] == own), ("", ""))
        return [
            (number, info)
            for number, whose, where, database, _, _, state, info, *_ in found
            if number > own
            and (whose, _host(where)) == (user, host)
            and (database or "").lower() == self._database.lower()
            and (state or "").startswith("Waiting for")
            and (info or "").upper().startswith(_STATEMENTS)
        ]


def _host(where: str | None) -> str:
    return (where or "").rpartition(":")[0] or (where or "")
