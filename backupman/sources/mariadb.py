"""MariaDB: databases dumped as SQL by mariadb-dump."""

from backupman.sources._mysql import MysqlSource


class Mariadb(MysqlSource):
    """One, some or all databases of a MariaDB server; a MySQL server behind it is served just as well."""
