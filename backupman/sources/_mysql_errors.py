"""What an error of a MySQL or MariaDB server, or of its client, means to the user."""

import re
import ssl
from dataclasses import dataclass

import pymysql


@dataclass(frozen=True)
class Meaning:
    """What to do about an error, and whether another try cannot help."""

    advice: str
    permanent: bool = True


_DENIED = Meaning("the server refuses the account {user}: correct user and password, or let it in from this host")
_UNREACHABLE = Meaning(
    "there is no server at {place}: start it, correct host, port or socket, or open the firewall", permanent=False
)
_LOST = Meaning(
    "the connection to {place} was lost: look into the server's log, and raise its net_write_timeout if it gave up",
    permanent=False,
)
_LOCKED = Meaning(
    "another session held a lock for longer than {lock_timeout:g} s: end its transaction or schema change, or raise "
    "lock_timeout",
    permanent=False,
)
_FORBIDDEN = Meaning("the account {user} may not read all of it: grant it what the server names")
_BROKEN_VIEW = Meaning("a view cannot be read: repair or drop it, or name it in exclude_tables")
_TLS = Meaning("TLS to {place} failed: correct tls, tls_ca, tls_cert or tls_key, or the server's certificate")
_DAMAGED = Meaning("a table is damaged: repair it with CHECK TABLE and REPAIR TABLE, then back up again")
_PLUGIN = Meaning("the client cannot log in as {user}: install the client of the server's own make and version")
_BUSY = Meaning("the server has no connection left: raise its max_connections, or end idle ones", permanent=False)

_TLS_FAILED = 2026
_PLUGIN_FAILED = 2059

_MEANINGS = {
    1040: _BUSY,
    1203: _BUSY,
    1226: _BUSY,
    1045: _DENIED,
    1130: _DENIED,
    1251: _PLUGIN,
    1698: _DENIED,
    3118: _DENIED,
    4151: _DENIED,
    1044: _FORBIDDEN,
    1142: _FORBIDDEN,
    1143: _FORBIDDEN,
    1227: _FORBIDDEN,
    1370: Meaning("a view calls a routine that the account {user} may not run: GRANT EXECUTE ON it to the account"),
    1049: Meaning("there is no database {database}: correct db_name or databases"),
    1133: Meaning(
        "the server ignores an account whose host is a name, for it runs with skip_name_resolve, and its tool stops "
        "there: drop that account, which nobody can use, or add _globals to exclude"
    ),
    1129: Meaning("the server blocks this host after many failed logins: run FLUSH HOSTS there"),
    1194: _DAMAGED,
    1195: _DAMAGED,
    **dict.fromkeys((126, 127, 144, 145, 1034), _DAMAGED),  # the first four are those of MyISAM and Aria
    1205: _LOCKED,
    1356: _BROKEN_VIEW,
    1449: _BROKEN_VIEW,
    1412: Meaning("a table was altered while it was dumped: back up again", permanent=False),
    1053: _LOST,
    1927: _LOST,
    2006: _LOST,
    2013: _LOST,
    2055: _LOST,
    1317: _LOST,
    1969: Meaning("the server ended a query that took too long: raise its max_statement_time for this account"),
    3024: Meaning("the server ended a query that took too long: raise its max_execution_time for this account"),
    2002: _UNREACHABLE,
    2003: _UNREACHABLE,
    2005: _UNREACHABLE,
    2020: Meaning("a row is larger than the server's max_allowed_packet: raise it"),
    _TLS_FAILED: _TLS,
    3159: Meaning("the server demands TLS: set tls"),
    _PLUGIN_FAILED: _PLUGIN,
    2061: _PLUGIN,
}
"""By the error's number (https://mariadb.com/kb/en/mariadb-error-codes/; shared with MySQL up to 1899)."""

BROKEN_VIEW = (1356, 1449)
"""What a view is refused with that refers to something, or belongs to an account, which is no longer there."""

TOO_LONG = (1969, 3024, 1317)
"""What a query is ended with that took longer than it may."""

LOCKED = (1205,)
"""What a query is ended with that has waited too long for a lock."""

WRITES = (1792, 1290, 1036)
"""What a statement is refused with that would write where one may only read."""

_ELSEWHERE = (
    "it reads what is not in it: if that is in another database, restore that one first, and for a drill name a server "
    "that has it in scratch_server; "
)
_ADVICE = {
    1: "the server cannot make a file: where the table has a folder of its own (DATA DIRECTORY), the files of the one "
    "that was dumped may lie there: restore into another server, or by hand without that; ",
    4025: "a row breaks a rule of its table (CHECK) that was not there, or not looked at, when it was written: mend it "
    "where it was dumped, or restore by hand after SET check_constraint_checks = 0; ",
    1044: "the account may not make databases: restore with an administrator's account; ",
    1142: "the account may not do all of it: restore with an administrator's account; ",
    1370: "the account may not do all of it: restore with an administrator's account; ",
    1227: "parts of the dump belong to other accounts (DEFINER), or need rights of their own: restore with an "
    "administrator's account; ",
    1410: "the account may not grant what the dump grants: restore the accounts as root; ",
    1419: "the server writes a binary log: restore with an administrator's account, or set "
    "log_bin_trust_function_creators there; ",
    1418: "the server writes a binary log: restore with an administrator's account, or set "
    "log_bin_trust_function_creators there; ",
    1049: _ELSEWHERE,
    1146: _ELSEWHERE,
    1356: "a view reads what is not in it, or what the account that it belongs to (DEFINER) may not read: restore "
    "that first, or GRANT SELECT on the new database to that account; ",
    1449: "an account that a view belongs to (DEFINER) is not on the server: make it, or restore _globals first; ",
    1305: _ELSEWHERE,
    1153: "a row is larger than the server's max_allowed_packet: raise it; ",
    2006: "the connection was lost: look into the server's log, and raise its max_allowed_packet; ",
    2013: "the connection was lost: look into the server's log; ",
    1114: "the server's disk is full: make room there; ",
    1021: "the server's disk is full: make room there; ",
    1115: "the server does not know a character set of the dump: restore into a server of the same make; ",
    1273: "the server does not know a collation of the dump: restore into a server of the same make and version; ",
    1524: "the server lacks a plugin that an account of the dump logs in by: INSTALL PLUGIN it there, or for that of "
    "mysql_native_password start MySQL 8.4 with mysql_native_password = ON; ",
    1286: "the server lacks a storage engine of the dump: install it there; ",
}
"""What to do when a restore ends with it."""

_NO_PLUGIN = re.compile(r"\bPlugin \S+ could not be loaded\b")
_NUMBER = re.compile(r"\berror:? (\d{3,4})\b|\((\d{3,4})\)(?:\s|$)", re.IGNORECASE)


def number_of(said: str | pymysql.Error) -> int:
    """The number of an error that PyMySQL raised or that a client printed; 0 without one."""
    if isinstance(said, pymysql.Error):
        if isinstance(getattr(said, "original_exception", None), ssl.SSLError):
            return _TLS_FAILED  # which PyMySQL calls a server that is not there
        return next((argument for argument in said.args if isinstance(argument, int)), 0)
    if _NO_PLUGIN.search(said):
        return _PLUGIN_FAILED  # for which MariaDB's programs give the number of a wrong password
    found = _NUMBER.search(said)
    return int(found[1] or found[2]) if found else 0


def meaning_of(number: int) -> Meaning | None:
    """What the error of that number means; None when there is no more to say than the server said."""
    return _MEANINGS.get(number)


def restore_advice(number: int) -> str:
    """What to do about an error that has ended a restore, as the beginning of a sentence; empty without any."""
    return _ADVICE.get(number, "")


def text_of(error: pymysql.Error) -> str:
    """The words of an error that PyMySQL raised, with its number."""
    words = [str(argument) for argument in error.args if isinstance(argument, str)]
    return f"{' '.join(words) or type(error).__name__} ({number_of(error)})"
