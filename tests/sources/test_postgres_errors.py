"""What PostgreSQL's programs say and a test server cannot be made to say, word for word, and what comes of it."""

import pytest

from backupman.errors import DumpError
from backupman.sources._postgres_errors import explained
from backupman.sources._postgres_said import Said

FACTS: dict[str, object] = {"user": "backup", "where": "db:5432", "lock_timeout": 60.0}

SAID = [
    (
        "pg_dump: error: aborting because of server version mismatch\n"
        "pg_dump: detail: server version: 17.2 (Debian 17.2-1.pgdg120+1); "
        "pg_dump version: 15.18 (Debian 15.18-0+deb12u1)",
        "pg_dump 15 cannot dump from PostgreSQL 17: install postgresql-client-17 (or newer), or set tool_path",
    ),
    (
        'pg_dump: error: failed to get data for sequence "hidden"; user may lack SELECT privilege on the sequence or '
        "the sequence may have been concurrently dropped",
        "backup may not read the sequence hidden, if it was not dropped meanwhile: GRANT SELECT on it TO backup, or",
    ),
    (
        "pg_dump: error: could not write to output file: No space left on device",
        "the disk became full (could not write to output file: No space left on device): make room",
    ),
    (
        'pg_dump: error: connection to server at "db", port 5432 failed: FATAL:  the database system is starting up',
        "is not ready (the database system is starting up): try later",
    ),
    (
        'pg_dump: error: connection to server at "db", port 5432 failed: FATAL:  sorry, too many clients already',
        "has no connection left",
    ),
    (
        'failed: FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "u", database "d", no encryption',
        'lets nobody in this way (no pg_hba.conf entry for host "10.0.0.9", user "u", database "d", no encryption)',
    ),
    (
        'pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.\n'
        "pg_dump: detail: Error message from server: ERROR:  canceling statement due to conflict with recovery",
        "set hot_standby_feedback = on",
    ),
    (
        "pg_dump: error: query failed: ERROR:  invalid page in block 7 of relation base/5/16385",
        "the server cannot read its own data (invalid page in block 7 of relation base/5/16385)",
    ),
    (
        'pg_dump: error: connection to server at "db" (10.0.0.1), port 5432 failed: timeout expired',
        "does not answer: see whether a firewall is in between",
    ),
]


@pytest.mark.parametrize(("said", "meant"), SAID, ids=[meant[:30] for _, meant in SAID])
def test_what_is_said_and_what_it_means(said: str, meant: str) -> None:
    error = explained(DumpError(f"Shop: pg_dump failed with exit code 1: {said}"), "Shop", FACTS)
    assert str(error).startswith("Shop: ")
    assert meant in str(error)


def test_what_is_not_known_is_passed_on() -> None:
    error = DumpError("Shop: pg_dump failed with exit code 1: Festplatte voller {Kekse}")
    assert explained(error, "Shop", FACTS) is error


def test_a_grantor_that_a_newer_server_does_not_take_is_explained() -> None:
    said = Said("Shop")
    said.hear(
        b'psql:<stdin>:44: ERROR:  42501: permission denied to grant privileges as role "postgres"\n'
        b'DETAIL:  The grantor must have the ADMIN option on role "grp".\n'
        b"LOCATION:  check_role_grantor, user.c:2209\n"
        b"STATEMENT:  GRANT grp TO admin1 WITH ADMIN OPTION, INHERIT TRUE GRANTED BY postgres;\n"
    )
    assert "make one by initdb --username with that name" in str(said.error(DumpError("")))
