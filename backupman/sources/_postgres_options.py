"""Which arguments of pg_dump may not stand in `options`, and why: data, and the reading of a command line."""

import re

_SETTING = "use the setting {} instead"

REFUSED = {
    "file": "the dump goes to standard output",
    "format": _SETTING.format("format"),
    "jobs": _SETTING.format("jobs"),
    "compress": "the pipeline compresses",
    "dbname": _SETTING.format("db_name"),
    "host": _SETTING.format("host"),
    "port": _SETTING.format("port"),
    "username": _SETTING.format("user"),
    "password": "nobody is there to type a password",
    "create": "a dump must be restorable under another name",
    "lock-wait-timeout": _SETTING.format("lock_timeout"),
    "enable-row-security": "rows that the account may not see would be missing without an error",
}

_SHORT = {
    "f": "file",
    "F": "format",
    "j": "jobs",
    "Z": "compress",
    "d": "dbname",
    "h": "host",
    "p": "port",
    "U": "username",
    "W": "password",
    "C": "create",
}

_SHORT_WITH_VALUE = frozenset("eEnNStT") | frozenset("fFjZdhpU")

_FEWER_TABLES = (
    *("schema", "exclude-schema", "table", "exclude-table", "table-and-children", "exclude-table-and-children"),
    *("extension", "exclude-extension", "filter", "section", "data-only", "no-schema"),
)
_FEWER_ROWS = (
    *("schema-only", "exclude-table-data", "exclude-table-data-and-children", "no-unlogged-table-data"),
    *("section", "filter", "no-data"),
)
_WHOLE = ("schema", "exclude-table")
"""Names that are no abbreviations of longer ones."""


def must_be_harmless(options: list[str]) -> list[str]:
    """The options as they are.

    Raises:
        ValueError: one of them breaks the gate or the secrecy; getopt's abbreviations and clusters are seen through. No
            message holds the value of an option.
    """
    for option in options:
        for name in _names(option):
            if name in REFUSED:
                raise ValueError(f"{_without_value(option)} may not be given to pg_dump: {REFUSED[name]}")
    return options


def _names(option: str) -> list[str]:
    """The long names of the refused options that a word of the command line may stand for."""
    if option.startswith("--"):
        word = option[2:].split("=", 1)[0]
        return [name for name in REFUSED if word and name.startswith(word)]
    names = []
    if option.startswith("-"):
        for letter in option[1:]:
            names.append(_SHORT.get(letter, ""))
            if letter in _SHORT_WITH_VALUE:
                break
    return names


def _without_value(option: str) -> str:
    return option.partition("=")[0] if option.startswith("--") else _letters(option)


def _letters(option: str) -> str:
    """The letters of a word that begins with one hyphen, up to the one that the rest is the value of."""
    given = re.match(rf"-[^{''.join(sorted(_SHORT_WITH_VALUE))}]*.?", option)
    return given[0] if given else ""


def leave_out_tables(options: list[str]) -> bool:
    """Whether the options may leave tables out of the dump."""
    return any(_may_be(option, _FEWER_TABLES, "nNtTea") for option in options)


def leave_out_rows(options: list[str]) -> bool:
    """Whether the options may leave rows out of the dump of tables that are in it."""
    return any(_may_be(option, _FEWER_ROWS, "s") for option in options)


def leave_out_definitions(options: list[str]) -> str:
    """The option by which the dump holds the rows of tables, and nothing that makes these; empty where none does."""
    if any(_may_be(option, ("data-only",), "a") for option in options):
        return "--data-only"
    return "--no-schema" if any(_may_be(option, ("no-schema",), "") for option in options) else ""


def leave_out_objects(options: list[str]) -> bool:
    """Whether the options leave large objects out of the dump."""
    return any(_may_be(option, ("no-blobs", "no-large-objects"), "B") for option in options)


def drop_before(options: list[str]) -> bool:
    """Whether the dump drops each thing before it makes it."""
    return any(_may_be(option, ("clean",), "c") for option in options)


def _may_be(option: str, names: tuple[str, ...], letters: str) -> bool:
    if option.startswith("--"):
        word = option[2:].split("=", 1)[0]
        return word in names if word in _WHOLE else any(name.startswith(word) for name in names)
    return not set(letters).isdisjoint(_letters(option))
