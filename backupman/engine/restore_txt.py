"""RESTORE.txt: what stands beside a source's objects, for somebody who has nothing but the drive."""

from backupman.sources import Source

_HEAD = """\
HOW TO RESTORE THESE BACKUPS WITHOUT BACKUPMAN

The files here are dumps of {what}, made by Backupman.
Ordinary programs read them. The commands are for a shell; write the name of the
file that you restore in place of BACKUP, for example

{example}

Restore under a new name first, and look at it before you put it in place.

1. See that the file is whole. Both lines must show the same sha256:

    grep Sha256 BACKUP.json
    sha256sum BACKUP

2. If its name ends in .age, it is encrypted. key.txt is the age identity (the
   secret key), which is kept elsewhere:

    age -d -i key.txt -o DUMP BACKUP

   If not, make a copy:

    cp BACKUP DUMP

3. If the name ends in .gz or .gz.age:

    mv DUMP DUMP.gz && gunzip DUMP.gz

   If it ends in .zst or .zst.age:

    mv DUMP DUMP.zst && zstd -d --rm -q DUMP.zst

4. {how}
"""
_SQLITE = """\
DUMP is the SQLite database now:

    sqlite3 DUMP 'PRAGMA integrity_check'

   Stop the application, put DUMP in the place of its database, and take the -wal
   and -shm files of the old one away.
"""
_MYSQL = """\
Fill a new database with it:

    mariadb -e 'CREATE DATABASE restored CHARACTER SET utf8mb4'
    mariadb restored < DUMP

   With MySQL's own client write mysql instead of mariadb. Say in ~/.my.cnf where
   the server is and who you are.
"""
_MYSQL_GLOBALS = """
   The files below _globals are the accounts. On a new server restore them first,
   as its administrator:

    mariadb --force < DUMP
"""
_POSTGRES = {
    ".sql": """\
Fill a new database with it:

    createdb --template=template0 restored
    psql -X -q -o /dev/null -v ON_ERROR_STOP=1 --single-transaction -d restored -f DUMP
""",
    ".dump": """\
Fill a new database with it:

    createdb --template=template0 restored
    pg_restore --exit-on-error --single-transaction -d restored DUMP
""",
    ".tar": """\
Fill a new database with it:

    mkdir DUMP.dir
    tar -x -C DUMP.dir --strip-components=1 -f DUMP
    createdb --template=template0 restored
    pg_restore --exit-on-error -d restored DUMP.dir
""",
}
_POSTGRES_TAIL = """
   Say in PGHOST, PGPORT and PGUSER where the server is and who you are. The roles
   that own the tables must be there: make them with createuser, or add --no-owner
   to pg_restore.
"""
_POSTGRES_RESTRICT = """
   psql says "invalid command \\restrict" where it is older than the pg_dump that
   wrote this. Use a newer psql, or leave two lines out, and restore DUMP.sql:

    grep -vE '^\\\\(un)?restrict ' DUMP > DUMP.sql
"""
_POSTGRES_GLOBALS = """
   The files below _globals are the roles. On a new server restore them first; an
   error about a role that exists already is fine:

    psql -X -q -o /dev/null -d postgres -f DUMP
"""
_OTHER = """\
DUMP is what the program wrote that made it. Hand it to the counterpart of that
   program.
"""
_KINDS = {"sqlite": "a SQLite database", "mysql": "MySQL", "mariadb": "MariaDB", "postgres": "PostgreSQL"}


def restore_txt(source: Source) -> str:
    """The text for a source: no secret, nothing of where its server is, nothing that a dump holds."""
    suffix = source.suffix_of("")
    example = f"    backup-20261121023000-1a2b3c4d{suffix}.gz"
    return _HEAD.format(
        what=_KINDS.get(source.provider, "a program's output"), example=example, how=_how(source, suffix)
    )


def _how(source: Source, suffix: str) -> str:
    if source.provider == "sqlite":
        return _SQLITE
    if source.provider in ("mysql", "mariadb"):
        return _MYSQL + (_MYSQL_GLOBALS if source.many else "")
    if source.provider == "postgres" and suffix in _POSTGRES:
        by_psql = suffix == ".sql" or source.many
        roles = _POSTGRES_GLOBALS if source.many else ""
        return _POSTGRES[suffix] + _POSTGRES_TAIL + roles + (_POSTGRES_RESTRICT if by_psql else "")
    return _OTHER
