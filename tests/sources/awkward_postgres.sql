-- Everything that a dump of PostgreSQL could lose or bend.

CREATE SCHEMA "odd schema";
COMMENT ON SCHEMA "odd schema" IS 'it''s odd';

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', '😀', 'it''s');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0) DEFAULT 7;
CREATE TYPE "odd schema".place AS (x double precision, "the name" text);
CREATE SEQUENCE own_sequence START 100 INCREMENT -5 MINVALUE -1000 MAXVALUE 100 CACHE 3 CYCLE;
SELECT nextval('own_sequence'), nextval('own_sequence');

CREATE TABLE types (
    id serial PRIMARY KEY,
    big bigint GENERATED ALWAYS AS IDENTITY (START 1000000000000),
    twice integer GENERATED ALWAYS AS (small * 2) STORED,
    small smallint,
    exact numeric,
    scaled numeric(30, 10),
    single real,
    double double precision,
    yes boolean,
    text text,
    fixed character(5),
    bytes bytea,
    day date,
    moment timestamptz,
    local timestamp,
    clock time,
    zoned timetz,
    span interval,
    doc json,
    docb jsonb,
    markup xml,
    key uuid,
    net inet,
    bits bit varying(20),
    feeling mood,
    feelings mood[],
    matrix integer[][],
    texts text[],
    least positive,
    spot "odd schema".place,
    spots "odd schema".place[],
    span_of int4range,
    spans tstzmultirange,
    shape polygon,
    search tsvector,
    price money,
    reference regclass
);

INSERT INTO types (small, exact, scaled, single, double, yes, text, fixed, bytes, day, moment, local, clock, zoned, span,
    doc, docb, markup, key, net, bits, feeling, feelings, matrix, texts, spot, spots, span_of, spans, shape, search, price,
    reference)
VALUES
    (-32768, 'NaN', -99999999999999999999.9999999999, 'NaN', '-Infinity', true, E'C:\\new\\tmp\\', 'ab',
     (SELECT decode(string_agg(lpad(to_hex(i), 2, '0'), '' ORDER BY i), 'hex') FROM generate_series(0, 255) i),
     '4713-01-01 BC', '2026-03-29 01:59:59.999999+00', '294276-12-31 23:59:59.999999', '24:00:00', '12:34:56.789+05:30',
     '-178000000 years 11 mons -3 days 04:05:06.000001', '{"b": 1,   "b": 2, "a": [1.50, null]}',
     '{"a": {"😀": "\\", "n": 1e-300}}', '<a b="c">&amp;</a>', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2001:db8::1/64',
     B'00101', 'it''s', '{sad,NULL,😀}', '[0:1][-1:0]={{1,2},{3,NULL}}', '{"a,b","{}",NULL,"NULL","\\",""}',
     (1.5, 'a "quoted", (name)'), ARRAY[(0, NULL), (-0.0, '')]::"odd schema".place[], '[1,10)',
     '{[2026-01-01,2026-02-01),(2026-03-01,)}', '((0,0),(1,1),(2,0))', 'a fat cat', -1234567.89, 'types'),
    (32767, 'Infinity', 0.1, 1e-45, 5e-324, false, E'tab\tnew\nline\rback\x08slash\\N \\.', '', '\x', 'infinity',
     '-infinity', 'infinity', '00:00:00.000001', '00:00:00+14', 'P0D', 'null', 'null', '', NULL, '0.0.0.0/0', B'', 'sad', '{}',
     '{}', '{}', (NULL, NULL), '{}', 'empty', '{}', NULL, '', 0, NULL),
    (NULL, 123456789012345678901234567890.123456789012345678901234567890, NULL, NULL, 'NaN', NULL, '𝄞 ß 中文 ' || repeat('é', 3000),
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL);
SELECT setval('types_id_seq', 4711, true);
COMMENT ON COLUMN types.bytes IS E'all of them: \\ '' "';

CREATE TABLE "order" ("select" integer, "from" text, "a ""quoted"" name" text, PRIMARY KEY ("select", "from"));
INSERT INTO "order" VALUES (1, 'x', NULL), (1, 'y', ''), (2, 'x', '\N');
CREATE TABLE "odd schema"."ta""ble; --'s" (
    a integer, b text, UNIQUE NULLS NOT DISTINCT (b),
    FOREIGN KEY (a, b) REFERENCES "order" ("select", "from") ON UPDATE CASCADE ON DELETE SET NULL (b) DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO "odd schema"."ta""ble; --'s" VALUES (1, 'x'), (2, NULL);
CREATE UNIQUE INDEX partly ON "order" (lower("from") DESC, ("select" % 10)) INCLUDE ("a ""quoted"" name") WHERE "select" > 0;

CREATE TABLE loop_a (id integer PRIMARY KEY, b integer);
CREATE TABLE loop_b (id integer PRIMARY KEY, a integer REFERENCES loop_a);
INSERT INTO loop_a VALUES (1, 1);
INSERT INTO loop_b VALUES (1, 1);
ALTER TABLE loop_a ADD FOREIGN KEY (b) REFERENCES loop_b;

CREATE TABLE parts (day date NOT NULL, v integer DEFAULT nextval('own_sequence')) PARTITION BY RANGE (day);
CREATE TABLE parts_2025 PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
INSERT INTO parts VALUES ('2025-06-01', 1), ('2026-06-01', 2), ('1999-01-01', DEFAULT);
CREATE INDEX ON parts (v);
CREATE TABLE parent (id integer, CHECK (id <> 0) NO INHERIT);
CREATE TABLE heir (extra text) INHERITS (parent);
INSERT INTO parent VALUES (1);
INSERT INTO heir VALUES (2, 'two');
CREATE UNLOGGED TABLE fleeting (x integer);
INSERT INTO fleeting VALUES (1);
CREATE TABLE empty ();
INSERT INTO empty DEFAULT VALUES;
CREATE TABLE dropped (a integer, gone text, b integer);
INSERT INTO dropped VALUES (1, 'x', 2);
ALTER TABLE dropped DROP COLUMN gone;

CREATE FUNCTION shout(t text, OUT loud text) LANGUAGE plpgsql IMMUTABLE AS $body$
BEGIN loud := upper(t) || '$$; \'; END $body$;
CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW."a ""quoted"" name" := 'tidied'; RETURN NEW; END $$;
CREATE PROCEDURE work(INOUT n integer) LANGUAGE sql AS 'SELECT n + 1';
CREATE AGGREGATE total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE CAST (mood AS integer) WITH INOUT AS ASSIGNMENT;
CREATE VIEW loud AS SELECT "select", shout("from") FROM "order" WITH CASCADED CHECK OPTION;
CREATE VIEW plain_view WITH (security_barrier) AS SELECT id, feeling FROM types WHERE feeling > 'ok';
CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n FROM types;
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE TRIGGER tidies BEFORE UPDATE OF "from" ON "order" FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION tidy();
ALTER TABLE "order" DISABLE TRIGGER tidies;
CREATE RULE quiet AS ON DELETE TO "order" DO INSTEAD NOTHING;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watches ON ddl_command_end WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION watch();
CREATE STATISTICS correlated ON a, b FROM dropped;
CREATE COLLATION german (provider = icu, locale = 'de-u-co-phonebk');
CREATE TEXT SEARCH CONFIGURATION own_search (COPY = english);
CREATE PUBLICATION everything FOR ALL TABLES;

ALTER TABLE loop_a ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON loop_a FOR SELECT TO bm_reader USING (id > 0);
GRANT USAGE ON SCHEMA "odd schema" TO bm_reader;
GRANT SELECT, UPDATE ("from") ON "order" TO bm_reader WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION shout FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA "odd schema" GRANT SELECT ON TABLES TO bm_reader;
ALTER TABLE heir OWNER TO bm_reader;
SELECT lo_from_bytea(4711, decode(repeat('00ff5c0a', 5000), 'hex'));
COMMENT ON LARGE OBJECT 4711 IS 'a large object';
GRANT SELECT ON LARGE OBJECT 4711 TO bm_reader;

CREATE TABLE filler AS SELECT g AS id, repeat(md5(g::text), 30) AS text FROM generate_series(1, 5000) g;
CREATE TABLE filler_2 AS SELECT * FROM filler WHERE id % 3 = 0;
