"""What a PostgreSQL server is asked before a dump, by psql: it comes with pg_dump and logs in the same way."""

from pathlib import Path

from backupman.errors import DumpError
from backupman.sources._postgres_client import Login, find_program
from backupman.sources._process import output

SERVER_VERSION = "SHOW server_version"

DATABASES = "SELECT datname FROM pg_database WHERE datname NOT IN ('template0', 'template1') AND datconnlimit <> -2"
"""All that somebody has made; -2 marks one whose DROP DATABASE was interrupted.

Also one that allows no connections, so that its dump fails, and is not left out without a word.
"""

TABLESPACES = r"SELECT spcname FROM pg_tablespace WHERE spcname NOT LIKE 'pg\_%' ORDER BY 1"

FIRST_SUPERUSER = "SELECT rolname FROM pg_roles WHERE oid = 10"
"""The one that initdb has made, whatever its name is now; it passes for the grantor of what any superuser grants."""

MAY_READ_PASSWORDS = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"

_RELATIONS = r"""
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
"""

LEFT_OUT_ON_A_STANDBY = (
    f"{_RELATIONS} AND c.relkind = 'r' AND c.relpersistence = 'u' AND pg_is_in_recovery() ORDER BY 1"
)
"""Unlogged tables: pg_dump leaves out their rows on a standby, and does not say so."""

UNREADABLE = f"""{_RELATIONS} AND c.relkind IN ('r', 'p', 'S')
    AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY 1"""
"""What pg_dump would want to read and may not; an extension's own tables it mostly leaves to the extension."""


HIDDEN = f"{_RELATIONS} AND c.relkind = 'r' AND row_security_active(c.oid) ORDER BY 1"
"""Whose policies would keep rows from the role, so that pg_dump refuses."""


CLOSED_OBJECTS = """SELECT oid FROM pg_largeobject_metadata WHERE NOT pg_has_role(lomowner, 'USAGE')
    AND current_setting('lo_compat_privileges') = 'off'
    AND NOT (current_setting('server_version_num')::int >= 190000 AND EXISTS (SELECT FROM pg_roles
        WHERE rolname = 'pg_read_all_data' AND pg_has_role(oid, 'USAGE')))
    AND NOT EXISTS (SELECT FROM aclexplode(lomacl) WHERE privilege_type = 'SELECT'
        AND (grantee = 0 OR pg_has_role(grantee, 'USAGE'))) ORDER BY oid LIMIT 1"""
"""The first large object that the role may not read; pg_read_all_data helps with PostgreSQL 19 and newer."""


def ask(label: str, login: Login, query: str, tool_path: Path | None) -> list[str]:
    """The first column of a query's rows.

    Raises:
        SourceError: psql is missing or the server refuses.
    """
    try:
        psql = find_program(label, "psql", tool_path)
    except DumpError:
        psql = find_program(label, "psql", None)  # tool_path may be pg_dump alone
    argv = [str(psql), "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--no-password"]
    argv += ["--record-separator-zero", f"--dbname={login.conninfo}"]
    # As pg_dump does: nobody's function in another schema may stand in for PostgreSQL's own.
    argv += ["--command=SET search_path = ''", f"--command={query}"]
    said = output(label, argv, env={**login.env, "PGCLIENTENCODING": "UTF8"}, pass_fds=login.pass_fds)
    return [row for row in said.split("\0") if row.strip("\n")]
