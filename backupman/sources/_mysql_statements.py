"""Reads the SQL of a dump as it passes by: where its statements begin, and that none of them leaves its database."""

import re
from collections import deque
from dataclasses import dataclass, field

from backupman.errors import RestoreError

_HEAD = 2048
"""Bytes of a statement that are looked at; none is begun with fewer unless the dump ends."""

_SHOWN = 120
_REMEMBERED = 2**22
"""Bytes of the dump whose statements are remembered: the client is that far behind at most."""
_SECRET = re.compile(rb"\sVALUES\b|\sIDENTIFIED\b", re.IGNORECASE)
"""Where rows and passwords begin, which no sentence shows."""

_EXECUTED = re.compile(rb"/\*M?!\d*")
_BLANK = re.compile(rb"(?:\s++|/\*M?!\d*|\*/)++")
_COMMENT = re.compile(rb"(?P<line>--[ \t\r\n]|#)|/\*")
_DELIMITER = re.compile(rb"delimiter[ \t]++(\S++)[^\n]*+(?:\n|$)", re.IGNORECASE)
_SQL_MODE = re.compile(rb"SET\s+(?:SESSION\s+|@@(?:SESSION\.)?)?sql_mode\s*=\s*('[^']*'|@\w+)", re.IGNORECASE)
_ALTER = re.compile(rb"ALTER\s+(?:DATABASE|SCHEMA)\s+(`(?:[^`]|``)+`|(?!CHARACTER\b|COLLATE\b|DEFAULT\b)[^\s`]+)", re.I)
_LEAVING = re.compile(
    rb"""
    USE \s+ (?!INDEX\b|KEY\b)
    | (?:CREATE (?:\s+OR\s+REPLACE)? | DROP | ALTER) \s+ (?:USER|ROLE|SERVER|INSTANCE) \b
    | (?:CREATE (?:\s+OR\s+REPLACE)? | DROP) \s+ (?:DATABASE|SCHEMA) \b
    | (?:GRANT|REVOKE|LOAD|INSTALL|UNINSTALL|SHUTDOWN|RESET|PURGE|KILL|FLUSH) \s
    | CHANGE \s+ (?:MASTER|REPLICATION) \b
    | SET \s+ (?:@@)? (?:GLOBAL|PERSIST|PERSIST_ONLY|PASSWORD) \b (?! \s* \. \s* GTID_PURGED \b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What no dump of one database holds, but one of a whole server, or a forged one."""

_SEQUENCE = re.compile(rb"CREATE\s+SEQUENCE\b", re.IGNORECASE)
_LOCK = re.compile(rb"LOCK TABLES `(?:[^`]|``)+` WRITE")
_NAMES_SEQUENCES = re.compile(rb"(?:CREATE\s+TABLE|VIEW)\b", re.IGNORECASE)
"""What MariaDB writes with the name of the database before that of a sequence."""

_ACCOUNT = re.compile(rb"CREATE\s+(?:USER|ROLE)\s+(?:IF\s+NOT\s+EXISTS\s+)?[`']?([^`'@\s]+)", re.IGNORECASE)

_ENDS = {
    b"'": re.compile(rb"[^'\\]*+(?:\\.[^'\\]*+)*+", re.DOTALL),
    b'"': re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL),
    b"`": re.compile(rb"[^`]*+"),
    b"\n": re.compile(rb"[^\n]*+"),
    b"*/": re.compile(rb"(?:[^*]++|\*(?=[^/]))*+"),
}
"""What is passed over inside of something, by what ends it. With a choice in the loop it takes half as long again."""

_PLAIN_ENDS = _ENDS | {b"'": re.compile(rb"[^']*+"), b'"': re.compile(rb'[^"]*+')}
"""The same where a backslash is a letter."""


def _code(first: bytes, *, escapes: bool) -> re.Pattern[bytes]:
    """What is passed over inside of a statement; `first` is the first byte of its end."""
    single, double = (_ENDS[quote].pattern if escapes else _PLAIN_ENDS[quote].pattern for quote in (b"'", b'"'))
    plain = rb"[^%s]*+" % re.escape(bytes(set(b"'\"`#/-*" + first)))
    other = rb"'%s'|\"%s\"|`[^`]*+`|/(?=[^*])|-(?=[^-])|\*(?=[^/])" % (single, double)
    return re.compile(rb"%s(?:(?:%s)%s)*+" % (plain, other, plain), re.DOTALL)


@dataclass
class Statements:
    """The statements of one dump on their way into `database`; `whole_server` is for a script of accounts."""

    label: str
    database: str
    whole_server: bool = False
    origin: str = ""
    """The database that was dumped."""
    accounts: set[str] = field(default_factory=set)
    """The names that a script of accounts makes."""
    _data: bytes = b""
    _here: int = 0
    _counted: int = 0
    """Up to where lines are counted."""
    _last: bool = False
    _code: re.Pattern[bytes] = field(init=False)
    _sequences: bool = False
    _held: int | None = None
    """Where a statement begins that is passed on when all of it is there."""
    _inside: bytes = b""
    """What ends the string, name or comment that has begun."""
    _begins: bool = True
    _delimiter: bytes = b";"
    _escapes: bool = True
    _line: int = 1
    _passed: int = 0
    _seen: deque[tuple[int, int, bytes]] = field(default_factory=deque)
    """Where statements begin, in lines and in bytes, and their beginnings."""

    def __post_init__(self) -> None:
        self._code = _code(self._delimiter[:1], escapes=self._escapes)

    def pass_on(self, chunk: bytes, *, last: bool = False) -> bytes:
        """What the client may be given now that this has come.

        Raises:
            RestoreError: a statement would leave the database.
        """
        self._data += chunk
        self._last = last
        while self._here < len(self._data) and self._step():
            pass
        here = len(self._data) if last else self._here if self._held is None else self._held
        passed, self._data = self._data[:here], self._data[here:]
        self._passed += here
        self._line += passed.count(b"\n", self._counted)
        self._here -= here
        self._held = None if self._held is None else 0
        self._counted = 0
        return passed

    def _step(self) -> bool:
        """Go on to what comes next; False when too little of it is there to say what it is."""
        if self._inside:
            return self._leave()
        return self._begin() if self._begins else self._proceed()

    def _leave(self) -> bool:
        self._skip((_ENDS if self._escapes else _PLAIN_ENDS)[self._inside])
        if not self._data.startswith(self._inside, self._here):
            return False
        self._here += len(self._inside)
        self._inside = b""
        return True

    def _begin(self) -> bool:
        blank = self._here
        self._skip(_BLANK)
        if len(self._data) - self._here < _HEAD and not self._last:
            self._here = blank  # of which a part may still be to come
            return False
        if self._comment():
            return True
        if delimiter := _DELIMITER.match(self._data, self._here):
            self._delimiter = delimiter[1]
            self._here = delimiter.end()
        elif self._here < len(self._data):
            self._line += self._data.count(b"\n", self._counted, self._here)
            self._counted = self._here
            self._look_at(self._data[self._here : self._here + _HEAD])
            self._begins = False
        self._code = _code(self._delimiter[:1], escapes=self._escapes)
        return True

    def _proceed(self) -> bool:
        self._skip(self._code)
        if self._data.startswith(self._delimiter, self._here):
            self._here += len(self._delimiter)
            self._end()
            return True
        if len(self._data) - self._here < 4 + len(self._delimiter) and not self._last:
            return False
        if self._data.startswith(b"*/", self._here):  # of code for certain versions only: a statement may follow
            self._here += 2
            self._end()
        elif executed := _EXECUTED.match(self._data, self._here):
            self._here = executed.end()
        elif not self._comment():
            if self._data[self._here : self._here + 1] in (b"'", b'"', b"`"):
                self._inside = self._data[self._here : self._here + 1]
            self._here += 1
        return True

    def _end(self) -> None:
        self._begins = True
        if self._held is not None:
            text = self._data[self._held : self._here]
            moved = text
            for function in (b"nextval(", b"lastval("):
                moved = moved.replace(function + _name(self.origin) + b".", function + _name(self.database) + b".")
            self._data = self._data[: self._held] + moved + self._data[self._here :]
            self._here += len(moved) - len(text)
            self._held = None

    def _comment(self) -> bool:
        comment = _COMMENT.match(self._data, self._here)
        if comment is None:
            return False
        self._here = comment.end()
        self._inside = b"\n" if comment["line"] else b"*/"
        return True

    def _skip(self, pattern: re.Pattern[bytes]) -> None:
        if found := pattern.match(self._data, self._here):
            self._here = found.end()

    def at(self, line: int) -> str:
        """The beginning of the statement that stands at a line, as far as it is remembered."""
        return next((_shown(text) for begun, _, text in reversed(self._seen) if begun <= line), "")

    def _look_at(self, head: bytes) -> None:
        if named := _ALTER.match(head):  # which the tools write where triggers have other letters than the database
            begin, end = (self._here + position for position in named.span(1))
            self._data = self._data[:begin] + _name(self.database) + self._data[end:]
        self._sequences = self._sequences or bool(_SEQUENCE.match(head))
        if self._sequences and (lock := _LOCK.match(head)):  # which keeps MariaDB from the sequences of the table
            self._data = self._data[: self._here] + b"DO 0" + self._data[self._here + lock.end() :]
        if self._sequences and _NAMES_SEQUENCES.match(head):
            self._held = self._here
        text = head[:_SHOWN].partition(self._delimiter)[0]
        self._seen.append((self._line, self._passed + self._here, text))
        while self._seen[0][1] < self._passed - _REMEMBERED:
            self._seen.popleft()
        if mode := _SQL_MODE.match(head):
            self._escapes = b"NO_BACKSLASH_ESCAPES" not in mode[1].upper()
        if self.whole_server and (made := _ACCOUNT.match(head)):
            self.accounts.add(made[1].decode(errors="replace"))
        if not self.whole_server and _LEAVING.match(head):
            raise RestoreError(
                f"{self.label}: the dump holds a statement that leaves the database {self.database}, at line "
                f"{self._line}: {_shown(text)}; restore it by hand if you trust it",
                permanent=True,
            )


def _name(database: str) -> bytes:
    return b"`" + database.encode().replace(b"`", b"``") + b"`"


def _shown(text: bytes) -> str:
    return " ".join(_SECRET.split(text, 1)[0].decode(errors="replace").split())
