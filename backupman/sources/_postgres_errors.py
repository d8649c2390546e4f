"""What the programs of PostgreSQL say when they fail, and what that means to the user: a table, first match wins.

The programs run in the C locale, so their own words are English; a server's may be in its own language
(`lc_messages`), and what is not recognised is passed on as it was said.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from backupman.errors import SourceError


@dataclass(frozen=True)
class Meaning:
    """`sentence` is filled from the pattern's named groups and the source's facts (`user`, `where`, …)."""

    pattern: str
    sentence: str
    permanent: bool = True


_READ_ALL = "or, from PostgreSQL 14 on, GRANT pg_read_all_data TO {user}"

MEANINGS = (
    Meaning(r"password authentication failed", "{where} refuses the password of {user}: correct user and password"),
    Meaning(
        r"(?:Peer|Ident|GSSAPI|LDAP|RADIUS|PAM|certificate|BSD) authentication failed",
        "{where} refuses {user} ({said}): correct user, or the server's pg_hba.conf",
    ),
    Meaning(r"no password supplied", "{where} wants a password of {user}: set password"),
    Meaning(r"no pg_hba\.conf entry|pg_hba\.conf rejects", "{where} lets nobody in this way ({said}): see pg_hba.conf"),
    Meaning(r'role "(?P<role>.*)" (?:does not exist|is not permitted to log in)', "{where} knows no login {role!r}"),
    Meaning(
        r'database "(?P<name>.*)" does not exist', "there is no database {name!r} at {where}: correct the config's name"
    ),
    Meaning(
        r"server version: (?P<server>\d+)[^;]*; pg_dump version: (?P<client>\d+)",
        "pg_dump {client} cannot dump from PostgreSQL {server}: install postgresql-client-{server} (or newer), or "
        "set tool_path to the folder of its programs",
    ),
    Meaning(r"could not translate host name", "the host of {where} is unknown ({said}): correct host, or DNS", False),
    Meaning(
        r"Connection refused|connection to server on socket .* failed: No such file",
        "nothing listens at {where}: correct host, port or socket, or start the server",
        False,
    ),
    Meaning(r"timeout expired|timed out", "{where} does not answer: see whether a firewall is in between", False),
    Meaning(r"No route to host|Network is unreachable", "{where} cannot be reached: see the network", False),
    Meaning(
        r"too many clients|too many connections|remaining connection slots",
        "{where} has no connection left: raise max_connections",
        False,
    ),
    Meaning(
        r"is not currently accepting connections",
        "the database allows no connections, and cannot be dumped: name it in exclude, or ALTER DATABASE … "
        "ALLOW_CONNECTIONS true",
    ),
    Meaning(r"database system is|not yet accepting connections", "{where} is not ready ({said}): try later", False),
    Meaning(
        r"permission denied for table pg_authid",
        "{user} may not read the passwords of roles: dump as a superuser, or leave them out by role_passwords: false",
    ),
    Meaning(
        r"permission denied for (?P<kind>table|view|materialized view|sequence|foreign table|relation) (?P<name>.*)",
        "{user} may not read the {kind} {name}: GRANT SELECT on it TO {user}, " + _READ_ALL,
    ),
    Meaning(
        r'failed to get data for sequence "(?P<name>.*)"; user may lack SELECT',
        "{user} may not read the sequence {name}, if it was not dropped meanwhile: GRANT SELECT on it TO {user}, "
        + _READ_ALL,
    ),
    Meaning(
        r"permission denied for schema (?P<name>.*)",
        "{user} may not use the schema {name}: GRANT USAGE ON SCHEMA {name} TO {user}, " + _READ_ALL,
    ),
    Meaning(
        r"permission denied for large object (?P<name>\d+)",
        "{user} may not read the large object {name}: GRANT SELECT ON LARGE OBJECT, or dump as owner or superuser",
    ),
    Meaning(
        r"permission denied(?P<what>.*)", "{user} lacks a right{what}: grant it, or dump as the owner or a superuser"
    ),
    Meaning(
        r'row-level security policy for table "(?P<name>.*)"',
        "row-level security would hide rows of {name} from {user}: ALTER ROLE {user} BYPASSRLS, or dump as its owner",
    ),
    Meaning(r"server does not support SSL", "{where} speaks no TLS: turn it on there, or set tls: false"),
    Meaning(
        r"certificate verify failed|root certificate|certificate file|private key|server certificate for|SSL error|"
        r"sslmode value|sslrootcert|SSL SYSCALL",
        "the TLS connection to {where} failed ({said}): see tls, tls_mode, tls_ca, tls_cert and tls_key",
    ),
    Meaning(
        r"statement timeout[\s\S]*LOCK TABLE (?P<names>.*) IN ACCESS SHARE MODE",
        "a schema change (or other exclusive use) locked one of these for more than {lock_timeout:g} s: {names:.200}; "
        "try later, or raise lock_timeout",
        False,
    ),
    Meaning(
        r"could not obtain lock on relation (?P<name>.*)",
        "a schema change of {name} came in between the parallel jobs: try later, or set jobs: 1",
        False,
    ),
    Meaning(
        r"no matching (?P<kind>\w+) were found for pattern (?P<name>.*)",
        "no {kind} match the pattern {name}: correct tables or options (a name with capitals needs double quotes "
        "inside the pattern)",
    ),
    Meaning(r"no matching (?P<kind>\w+) were found", "no {kind} match: correct tables or options"),
    Meaning(
        r"invalid snapshot identifier",
        "the session that counts rows in the dump's snapshot was ended: try again, or set manifest: {{rows: none}}",
        False,
    ),
    Meaning(
        r"conflict with recovery", "the standby needed what the dump read: set hot_standby_feedback = on there", False
    ),
    Meaning(
        r"server closed the connection|terminating connection|connection (?:to server was lost|has been closed)",
        "{where} ended the connection while it was read: see the server's log",
        False,
    ),
    Meaning(
        r"No space left on device", "the disk became full ({said}): make room in the spool, or set tmp_folder", False
    ),
    Meaning(
        r"invalid page|could not read block|missing chunk number|unexpected chunk|cache lookup failed",
        "the server cannot read its own data ({said}): look for damage (pg_amcheck) and keep the older dumps",
    ),
    Meaning(
        r"unrecognized option|invalid option|illegal option|too many command-line arguments|cannot be used together",
        "pg_dump does not understand options ({said}): correct them",
    ),
)


RESTORE_MEANINGS = (
    Meaning(
        r"permission denied to create database",
        "{user} may not create databases at {where}: ALTER ROLE {user} CREATEDB, or restore as a superuser",
    ),
    Meaning(
        r"must be owner of database (?P<name>.*)", "{user} does not own {name}: restore as its owner or a superuser"
    ),
    Meaning(
        r"must be a (?:superuser|member of the role).* terminat|permission denied to terminate",
        "{user} may not end the connections of others to the database that is replaced: end them yourself, or restore "
        "as a superuser",
    ),
    Meaning(
        r'database "(?P<name>.*)" is being accessed by other users',
        "others are connected to the database {name} and come back at once: end them, then try again",
        False,
    ),
    Meaning(r"No space left on device", "the disk of {where} is full ({said}): make room there", False),
    *(meaning for meaning in MEANINGS if "permission denied" not in meaning.pattern),
)
"""The same for what is done to a server before and after the dump itself is restored."""


def explained(
    error: SourceError, label: str, facts: dict[str, object], meanings: Sequence[Meaning] = MEANINGS
) -> SourceError:
    """The same error in words that say what to do; as it was where no row of the table fits."""
    for meaning in meanings:
        if found := re.search(meaning.pattern, error.sentence):
            groups = {name: text.strip() for name, text in found.groupdict().items()}
            said = _line_of(error.sentence, found.start())
            sentence = meaning.sentence.format(**{**facts, "said": said, **groups})
            return type(error)(f"{label}: {sentence}", permanent=meaning.permanent)
    return error


def _line_of(text: str, position: int) -> str:
    """The line at a position, without what stands before the message itself."""
    start = text.rfind("\n", 0, position) + 1
    line = text[start:].split("\n", 1)[0]
    return re.sub(r"^.*(?:error|detail|ERROR|FATAL): +", "", line).strip()
