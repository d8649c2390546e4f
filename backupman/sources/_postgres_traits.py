"""What belongs to a PostgreSQL database itself and stands in no dump of it: owner, rights, settings, comment."""

from backupman.errors import SourceError
from backupman.sources._postgres_server import Server, literal

_TAKEN_OVER = r"""SELECT format('COMMENT ON DATABASE %I IS %L', {new}, shobj_description(oid, 'pg_database'))
    FROM pg_database WHERE datname = {old} \gexec
SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', {new}, datconnlimit)
    FROM pg_database WHERE datname = {old} \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', {new})
    FROM pg_database WHERE datname = {old} AND datacl IS NOT NULL \gexec
SELECT format('GRANT %s ON DATABASE %I TO %s', privilege_type, {new}, CASE grantee WHEN 0 THEN 'PUBLIC'
        ELSE quote_ident(pg_get_userbyid(grantee)) END) || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM pg_database, aclexplode(datacl) WHERE datname = {old} \gexec
SELECT format('ALTER %s %I SET %I TO %s', CASE setrole WHEN 0 THEN 'DATABASE'
        ELSE format('ROLE %I IN DATABASE', pg_get_userbyid(setrole)) END, {new}, name,
        CASE WHEN value = '""' THEN quote_literal('')
        WHEN name IN ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries')
        THEN value ELSE quote_literal(value) END)
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) AS setting,
        split_part(setting, '=', 1) AS name, substr(setting, strpos(setting, '=') + 1) AS value
    WHERE datname = {old} \gexec
SELECT format('ALTER DATABASE %I OWNER TO %I', {new}, pg_get_userbyid(o.datdba))
    FROM pg_database o JOIN pg_database n ON n.datdba <> o.datdba WHERE o.datname = {old} AND n.datname = {new} \gexec
"""
"""Those settings are lists of names, quoted as they have to be already (variable_is_guc_list_quote in dumputils.c); but
SET does not take an empty name as it is stored."""


def take_over(server: Server, old: str, new: str) -> list[str]:
    """Give the database `new` the rights, settings, comment and owner of `old`, if it is there; the warnings of it."""
    try:
        server.psql(_TAKEN_OVER.format(old=literal(old), new=literal(new)))
    except SourceError as error:
        why = f"{server.label}: the owner, rights and settings of {old} itself have to be given again"
        return [f"{why}: {' '.join(error.sentence.split())}"]
    return []
