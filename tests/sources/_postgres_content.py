"""Everything that stands in a PostgreSQL database, read from the server's own catalogs, so that two can be compared."""

from typing import Any

import psycopg
from psycopg import sql

_OURS = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"


def _acl(column: str) -> str:
    return f"ARRAY(SELECT unnest({column})::text ORDER BY 1)"


_CATALOGS = {
    "schemas": f"""SELECT nspname, nspowner::regrole, {_acl("nspacl")}, obj_description(oid)
        FROM pg_namespace n WHERE {_OURS}""",
    "relations": f"""SELECT c.oid::regclass::text, relkind, relpersistence, relowner::regrole, {_acl("relacl")},
        reloptions, relrowsecurity, relispopulated, pg_get_expr(relpartbound, c.oid), pg_get_partkeydef(c.oid),
        obj_description(c.oid),
        ARRAY(SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid ORDER BY inhseqno)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {_OURS}""",
    "columns": f"""SELECT attrelid::regclass::text, row_number() OVER (PARTITION BY attrelid ORDER BY attnum), attname,
        format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attcollation::regcollation,
        {_acl("attacl")}, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum), attislocal, attinhcount
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attnum > 0 AND NOT attisdropped AND {_OURS}""",
    "constraints": f"""SELECT conrelid::regclass::text, contypid::regtype::text, conname, pg_get_constraintdef(c.oid)
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace WHERE {_OURS}""",
    "indexes": f"""SELECT schemaname, indexname, indexdef
        FROM pg_indexes JOIN pg_namespace n ON nspname = schemaname WHERE {_OURS}""",
    "sequences": "SELECT * FROM pg_sequences",
    "views": f"""SELECT c.oid::regclass::text, pg_get_viewdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('v', 'm') AND {_OURS}""",
    "triggers": """SELECT tgrelid::regclass::text, tgenabled, pg_get_triggerdef(oid)
        FROM pg_trigger WHERE NOT tgisinternal""",
    "rules": f"SELECT tablename, definition FROM pg_rules JOIN pg_namespace n ON nspname = schemaname WHERE {_OURS}",
    "routines": f"""SELECT p.oid::regprocedure::text, CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
        proowner::regrole, {_acl("proacl")} FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE {_OURS}""",
    "aggregates": """SELECT aggfnoid::regprocedure::text, aggtransfn::text, aggtranstype::regtype, agginitval
        FROM pg_aggregate WHERE aggfnoid >= 16384""",
    "types": f"""SELECT t.oid::regtype::text, typtype, format_type(typbasetype, typtypmod), typdefault,
        ARRAY(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)::text
        FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE {_OURS}""",
    "policies": "SELECT * FROM pg_policies",
    "event triggers": "SELECT evtname, evtevent, evtfoid::regproc, evtenabled, evttags FROM pg_event_trigger",
    "statistics": "SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext",
    "operators": "SELECT oid::regoperator::text, oprcode::text FROM pg_operator WHERE oid >= 16384",
    "casts": "SELECT castsource::regtype, casttarget::regtype, castcontext, castmethod FROM pg_cast WHERE oid >= 16384",
    "collations": """SELECT collname, collprovider, coalesce(row->>'colllocale', row->>'colliculocale')
        FROM pg_collation, to_jsonb(pg_collation) row WHERE oid >= 16384""",
    "text search": "SELECT cfgname, cfgparser FROM pg_ts_config WHERE oid >= 16384",
    "publications": "SELECT pubname, puballtables FROM pg_publication",
    "default privileges": f"""SELECT defaclnamespace::regnamespace, defaclobjtype, {_acl("defaclacl")}
        FROM pg_default_acl""",
    "large objects": f"""SELECT oid::text, md5(lo_get(oid)), lomowner::regrole, {_acl("lomacl")},
        obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata""",
}

_TABLES = f"""SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'm') AND relispopulated AND {_OURS} ORDER BY 1, 2"""


def content(connection: psycopg.Connection[tuple[Any, ...]]) -> dict[str, list[str]]:
    """The rows of every table and of every catalog, as text, in an order of their own."""
    connection.execute("SET timezone = 'Pacific/Chatham'")
    found = {name: _rows(connection, sql.SQL(query)) for name, query in _CATALOGS.items()}
    for schema, table in connection.execute(_TABLES).fetchall():
        select = sql.SQL("SELECT t FROM ONLY {} t").format(sql.Identifier(schema, table))
        found[f"rows of {schema}.{table}"] = _rows(connection, select)
    return found


def _rows(connection: psycopg.Connection[tuple[Any, ...]], query: sql.SQL | sql.Composed) -> list[str]:
    every = sql.SQL("SELECT each::text FROM ({}) each ORDER BY 1").format(query)
    return [row for (row,) in connection.execute(every)]
