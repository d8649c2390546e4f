-- What only MariaDB knows, besides what stands in awkward_mysql.sql.

SET NAMES utf8mb4;

CREATE SEQUENCE a_sequence START WITH 100 INCREMENT BY -5 MINVALUE -1000 MAXVALUE 100 CACHE 3 CYCLE;
CREATE SEQUENCE `odd "sequence"`;
SELECT NEXT VALUE FOR a_sequence, NEXT VALUE FOR a_sequence;

CREATE TABLE only_mariadb (
    id UUID PRIMARY KEY DEFAULT UUID(),
    net INET6,
    packed LONGTEXT COMPRESSED,
    hidden INT INVISIBLE DEFAULT 7,
    doc JSON CHECK (JSON_VALID(doc)),
    computed INT DEFAULT (hidden + 1),
    starts DATE, ends DATE, PERIOD FOR valid (starts, ends)
) CHARSET utf8mb4;
INSERT INTO only_mariadb (id, net, packed, hidden, doc, starts, ends) VALUES
    ('123e4567-e89b-12d3-a456-426655440000', '2001:db8::1', REPEAT('squeezed \\', 100), 8, '{"a":  1}', '2026-01-01', '2026-02-01'),
    (UUID(), NULL, NULL, NULL, NULL, '2026-01-01', '2026-02-01');

DELIMITER //
SET SESSION sql_mode = 'ORACLE'//
CREATE PACKAGE tools AS
    FUNCTION twice(n INT) RETURN INT;
END//
CREATE PACKAGE BODY tools AS
    FUNCTION twice(n INT) RETURN INT AS BEGIN RETURN n * 2; END;
END//
SET SESSION sql_mode = DEFAULT//
DELIMITER ;
