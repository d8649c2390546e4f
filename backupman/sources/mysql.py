"""MySQL: databases dumped as SQL by mysqldump."""

from backupman.sources._mysql import MysqlSource


class Mysql(MysqlSource):
    """One, some or all databases of a MySQL server; a MariaDB server behind it is served just as well."""
