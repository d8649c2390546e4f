"""What psql and pg_restore say while they restore: the first error with its statement, and the warnings."""

import re

from backupman.errors import RestoreError, SourceError

_LINE = 2000
_SHOWN = 300
_WARNINGS = 20
_NAMED = 5

_PSQL = re.compile(r"psql:<stdin>:\d+: (?:(?P<own>error)|(?P<severity>\w+)): +(?:(?P<code>[0-9A-Z]{5}): )?(?P<text>.*)")
_RESTORE = re.compile(r"pg_restore: (?P<severity>error|warning): (?P<text>.*)")
_STATEMENT = re.compile(r"(?:psql:<stdin>:\d+: STATEMENT: |Command was:) *(?P<text>.*)")
_CONTEXT = re.compile(r"CONTEXT:  (?P<text>COPY .*)")
_SEVERITY = re.compile(r"[A-Z]+:  ")
_SECRET = re.compile(r"(password\s*=?\s*)(?:'[^']*'?|[^\s']+)", re.IGNORECASE)

_HARMLESS = ("WARNING", "warning", "NOTICE", "INFO", "LOG")
_USUAL = ("25001", "25P01", "55000")
"""The codes of what is said of any such dump: one with large objects has a transaction of its own around them, and a
publication that a server with another `wal_level` cannot serve yet comes back all the same."""

EXISTS = ("42710", "42P04")
"""The codes of a role, and of a database or tablespace, that is there already (postgresql.org, appendix A)."""

_ADVICE = (
    (
        r"backslash commands are restricted",
        "it holds a command of psql, which pg_dump never writes: it was tampered with",
    ),
    (r'role ".*" does not exist', "restore the roles first (the part _globals), or CREATE ROLE"),
    (
        r'extension ".*" (?:is not available|has no installation)|could not open extension control file|'
        r"could not access file",
        "install the extension's package on the server",
    ),
    (r'tablespace ".*" does not exist', "CREATE TABLESPACE there first, or restore the part _globals"),
    (
        r'(?:relation|type|collation) "[^".]+" does not exist|function [^.(]+\(.*\) does not exist|'
        r"operator does not exist",
        "a function names something without its schema, and dumps are restored with an empty search_path: name the "
        "schema in it, or ALTER FUNCTION … SET search_path, and back up again",
    ),
    (
        r"materialized view .* has not been populated",
        "a materialized view reads another one by a function, which no dump knows of, and is filled first: try "
        "--jobs 1, or have it read the other one itself, and back up again",
    ),
    (
        r"unrecognized (?:configuration|subscription) parameter",
        "the dump was made by a pg_dump that is newer than the server: restore into a server of that version, or set "
        "tool_path to the programs of the server's own, and back up again",
    ),
    (r"unsupported version", "it was made by a newer pg_dump: install a newer postgresql-client"),
    (r"No space left on device", "the server's disk is full: make room there"),
    (
        r"permission denied to grant privileges as role",
        "from PostgreSQL 16 on only a server's first superuser stands for what superusers have granted, and this "
        "server's has another name: make one by initdb --username with that name, or GRANT by hand what is missing",
    ),
    (r"permission denied|must be (?:owner|superuser|member)", "restore as a superuser, or as the owner"),
    (
        r"server closed the connection|terminating connection|connection to server was lost|no connection to",
        "the server ended the connection: see its log",
    ),
)


class Said:
    """A listener: give it what a program says, and ask it when the program has ended."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._rest = ""
        self._warnings: dict[str, None] = {}
        self._error = ""
        self._context = ""
        self._statement = ""
        self._open = False
        self._existed: list[str] = []

    def hear(self, chunk: bytes) -> None:
        """The next bytes of standard error."""
        *lines, rest = (self._rest + chunk.decode(errors="replace")).split("\n")
        for line in lines:
            self._line(line[:_LINE])
        self._rest = rest[:_LINE]

    def _line(self, line: str) -> None:
        if found := _PSQL.match(line) or _RESTORE.match(line):
            groups = found.groupdict()
            self._message(groups.get("severity") or "error", groups.get("code"), groups["text"])
        elif found := _STATEMENT.match(line):
            self._statement_begins(found["text"])
        elif found := _CONTEXT.match(line):
            self._context = self._context or found["text"].partition(': "')[0]
        elif _SEVERITY.match(line):
            self._open = False
        elif self._open and len(self._statement) < _SHOWN:
            self._statement += " " + line

    def _message(self, severity: str, code: str | None, text: str) -> None:
        self._open = False
        if severity == "STATEMENT":
            self._statement_begins(text)
        elif code in EXISTS:
            self._existed.append(text)
        elif severity in _HARMLESS:
            if code not in _USUAL and len(self._warnings) < _WARNINGS:
                self._warnings[text] = None
        elif not self._error:
            self._error = text
            self._context = self._statement = ""

    def _statement_begins(self, text: str) -> None:
        self._open = bool(self._error) and not self._statement
        if self._open:
            self._statement = text

    @property
    def failed(self) -> bool:
        """Whether an error was heard."""
        self.hear(b"\n")
        return bool(self._error)

    def warnings(self) -> list[str]:
        """What is worth a word in the report."""
        return [f"{self._label}: {text}" for text in self._warnings]

    def existed(self) -> str:
        """What was there already, as the server names it; nothing if all was new."""
        more = f" and {len(self._existed) - _NAMED} more" if len(self._existed) > _NAMED else ""
        return "; ".join(self._existed[:_NAMED]) + more

    def error(self, otherwise: SourceError) -> SourceError | RestoreError:
        """The first error with its statement; `otherwise` when there was none about the dump itself."""
        if not self.failed:
            return otherwise
        sentence = self._error
        if self._context:
            sentence += f" ({self._context})"
        if self._statement:
            shown = _SECRET.sub(r"\1'…'", " ".join(self._statement.split()))
            sentence += f"; the statement: {shown[:_SHOWN]}"
        why = next((advice for pattern, advice in _ADVICE if re.search(pattern, self._error)), "")
        return RestoreError(
            f"{self._label}: the dump cannot be restored: {f'{why}; it says: ' if why else ''}{sentence}",
            permanent=True,
        )
