-- Everything that a dump of MySQL or MariaDB could lose or bend; both make all of it.

SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+05:30', foreign_key_checks = 0;

CREATE TABLE types (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    tiny TINYINT, big BIGINT UNSIGNED, padded INT(5) UNSIGNED ZEROFILL,
    exact DECIMAL(65, 30), single FLOAT, `double` DOUBLE, yes BOOLEAN,
    one BIT(1), many BIT(64),
    fixed CHAR(5), text LONGTEXT, latin VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin,
    bytes LONGBLOB, fixed_bytes BINARY(4), some_bytes VARBINARY(300),
    feeling ENUM('sad', 'it''s', '', 'a,b', '😀', 'back\\slash') DEFAULT 'it''s', several SET('a', 'b c', 'd''e', 'f\\'),
    doc JSON,
    day DATE, moment TIMESTAMP(6) NULL, plain TIMESTAMP NULL, local DATETIME(6), clock TIME(3), born YEAR,
    spot POINT, shape GEOMETRY,
    twice BIGINT GENERATED ALWAYS AS (tiny * 2) VIRTUAL,
    label VARCHAR(50) GENERATED ALWAYS AS (CONCAT('#', tiny, '\\')) STORED COMMENT 'a \\ and a '' and a "',
    KEY (label), KEY latin_start (latin(3)), FULLTEXT KEY (text)
) DEFAULT CHARSET = utf8mb4 COMMENT = 'it''s a `comment` with \\ and 😀';

INSERT INTO types (tiny, big, padded, exact, single, `double`, yes, one, many, fixed, text, latin, bytes, fixed_bytes,
    some_bytes, feeling, several, doc, day, moment, plain, local, clock, born, spot, shape)
VALUES
    (-128, 18446744073709551615, 42, '-99999999999999999999999999999999999.999999999999999999999999999999', 1e-30,
     -1.7976931348623157e308, true, b'1', 0xFFFFFFFFFFFFFFFF, 'ab  ', 'C:\\new\\tmp\\', 'ÄÖß', NULL, 0x00FF,
     0x5C275C22000A0D1A, '', 'a,b c,f\\', '{"b": [1.5, null, "\\"quoted\\\\"], "a": {"😀": "\\u0000"}}', '0000-00-00',
     '2026-03-29 01:59:59.999999', '1970-01-02 00:00:00', '0000-00-00 00:00:00', '-838:59:59', 1901,
     ST_GeomFromText('POINT(1.5 -2.25)'), ST_GeomFromText('POLYGON((0 0, 4 0, 4 4, 0 0))')),
    (127, 0, 0, 0.1, 0, 2.2250738585072014e-308, false, b'0', 0, '', 'ends with a backslash\\', '', '', '', '', 'back\\slash',
     '', '[]', '9999-12-31', '2038-01-19 03:14:07.000001', '2026-10-25 02:30:00', '9999-12-31 23:59:59.999999', '838:59:59',
     2155, NULL, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(0 0), LINESTRING(0 0, 1 1))')),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL),
    (0, 1, 1, 1, 1, 1, 1, b'1', b'101', '😀', 'a\0b\n\r\Z\t''"`;-- /* */ 😀 ß€', 'x', 0x00, 0x41, 0x41, 'sad', 'a', '"text"',
     '2024-00-00', '2026-07-01 00:00:00', '2026-07-01 00:00:00', '2024-02-29 12:00:00', '00:00:00.001', 2000, NULL, NULL);
UPDATE types SET bytes = UNHEX(CONCAT(
    '000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F',
    '303132333435363738393A3B3C3D3E3F404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F',
    '606162636465666768696A6B6C6D6E6F707172737475767778797A7B7C7D7E7F808182838485868788898A8B8C8D8E8F',
    '909192939495969798999A9B9C9D9E9FA0A1A2A3A4A5A6A7A8A9AAABACADAEAFB0B1B2B3B4B5B6B7B8B9BABBBCBDBEBF',
    'C0C1C2C3C4C5C6C7C8C9CACBCCCDCECFD0D1D2D3D4D5D6D7D8D9DADBDCDDDEDFE0E1E2E3E4E5E6E7E8E9EAEBECEDEEEF',
    'F0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF')), some_bytes = bytes WHERE tiny = -128;
INSERT INTO types (id, text) VALUES (0, 'zero is no new number'), (4000000000, 'the last');

-- Names.
CREATE TABLE `order` (`select` INT PRIMARY KEY, `it's "a" ``column``` INT, `größe` INT COMMENT 'ü') CHARSET utf8mb4;
CREATE TABLE `it's a "table" with ``ticks``, spaces; and \\ % _ größe --` (v VARCHAR(20)) CHARSET utf8mb4;
CREATE TABLE `--result-file` (v INT);
CREATE TABLE empty_one (v INT);
INSERT INTO `order` VALUES (1, 2, 3);
INSERT INTO `it's a "table" with ``ticks``, spaces; and \\ % _ größe --` VALUES ('a'), ('b');
INSERT INTO `--result-file` VALUES (1);

-- References forward, backward and round in a circle.
CREATE TABLE a_child (id INT PRIMARY KEY, parent INT, CONSTRAINT `odd name's fk` FOREIGN KEY (parent)
    REFERENCES z_parent (id) ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE z_parent (id INT PRIMARY KEY, favourite INT, FOREIGN KEY (favourite) REFERENCES a_child (id));
INSERT INTO a_child VALUES (1, 1), (2, NULL);
INSERT INTO z_parent VALUES (1, 1), (2, 2);

CREATE TABLE parted (id INT NOT NULL, at DATE NOT NULL, n INT CHECK (n > 0), PRIMARY KEY (id, at))
    PARTITION BY RANGE (YEAR(at)) (PARTITION old VALUES LESS THAN (2020), PARTITION young VALUES LESS THAN MAXVALUE);
INSERT INTO parted VALUES (1, '2019-12-31', 1), (2, '2020-01-01', 2);

CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, said VARCHAR(200)) CHARSET utf8mb4;

-- A view upon a view that comes later in the alphabet.
CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW z_view AS SELECT id, said FROM log WHERE id > 0 WITH CHECK OPTION;
CREATE VIEW a_view AS SELECT v.id, v.said FROM z_view v WHERE v.said LIKE '%\\\\%';

DELIMITER //
CREATE FUNCTION `shout it's`(words VARCHAR(200) CHARSET utf8mb4) RETURNS VARCHAR(210) CHARSET utf8mb4
    DETERMINISTIC COMMENT 'it''s; "loud"'
BEGIN
    -- A comment; with a semicolon and ;; two.
    RETURN CONCAT(UPPER(words), '!\\', "😀");
END//
CREATE PROCEDURE fill_log(IN n INT, OUT done INT) MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    WHILE n > 0 DO
        INSERT INTO log (said) VALUES (CONCAT('from \\ procedure; ', n));
        SET n = n - 1;
    END WHILE;
    SET done = 1;
END//
CREATE TRIGGER `order's trigger` BEFORE INSERT ON `order` FOR EACH ROW
BEGIN
    INSERT INTO log (said) VALUES (CONCAT('ordered ', NEW.`select`, ' \\ 😀'));
    SET NEW.`it's "a" ``column``` = NEW.`select` * 2;
END//
SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'//
CREATE TRIGGER another_mode AFTER DELETE ON "order" FOR EACH ROW INSERT INTO log (said) VALUES ('gone ' || OLD."select")//
CREATE TRIGGER after_another_mode AFTER DELETE ON "order" FOR EACH ROW FOLLOWS another_mode DELETE FROM log WHERE id = 0//
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'//
CREATE EVENT `nightly "event"` ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' ENDS '2037-01-01 00:00:00'
    ON COMPLETION PRESERVE DISABLE COMMENT 'it''s' DO
BEGIN
    DELETE FROM log WHERE id > 1000000;
END//
CREATE EVENT once ON SCHEDULE AT '2037-12-31 23:59:59' DO SELECT 1//
DELIMITER ;

INSERT INTO `order` (`select`) VALUES (7);
CALL fill_log(3, @done);

-- Enough rows that the dump takes a while.
CREATE TABLE digit (d INT PRIMARY KEY);
INSERT INTO digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TABLE filler (id INT PRIMARY KEY, text TEXT);
INSERT INTO filler SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d, REPEAT(SHA2(a.d + 10 * b.d + 100 * c.d, 512), 8)
    FROM digit a, digit b, digit c, digit d WHERE d.d < 5;
