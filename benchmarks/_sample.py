"""The data that is dumped: orders with numbers, times, words and JSON, the same in every database."""

import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

from _measure import cannot_measure

_COLUMNS = "id bigint PRIMARY KEY, customer bigint, price numeric(10,2), placed {time}, note text, details {json}"
"""The types of times and of JSON are the server's own: to write them out is part of what a dump costs."""
_TABLES = 4
"""Several, so that a dump is more than one statement; they differ in size."""


def write(folder: Path, megabytes: int) -> list[Path]:
    """Files of tab-separated rows, one for each table."""
    chance = random.Random(7)  # noqa: S311 - the same data each time
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(3, 11))) for _ in range(4000)]
    files = [folder / f"orders_{n}.tsv" for n in range(_TABLES)]
    for share, file in enumerate(files, start=1):
        wanted = megabytes * 1_000_000 * share // sum(range(1, _TABLES + 1))
        with file.open("w") as out:
            key = 0
            while out.tell() < wanted:
                out.writelines(_row(chance, words, key + n) for n in range(5000))
                key += 5000
    return files


def _row(chance: random.Random, words: Sequence[str], key: int) -> str:
    details = json.dumps(
        {
            "sku": f"{chance.getrandbits(48):012x}",
            "quantity": chance.randint(1, 40),
            "tags": chance.choices(words, k=3),
            "address": {"street": chance.choice(words).title(), "number": chance.randint(1, 300)},
        }
    )
    day, minute = chance.randint(1, 28), chance.randint(0, 59)
    placed = f"2026-{chance.randint(1, 12):02}-{day:02} {chance.randint(0, 23):02}:{minute:02}"
    price, note = chance.randint(1, 99_999) / 100, " ".join(chance.choices(words, k=14))
    return f"{key}\t{chance.randint(1, 5_000_000)}\t{price}\t{placed}\t{note}\t{details}\n"


def into_postgres(socket: Path, files: Sequence[Path], database: str = "postgres") -> None:
    """Load the files into a database."""
    psql = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(socket), "-U", "postgres", "-d", database]
    for file in files:
        _feed(psql, f"{_table(file, 'timestamptz', 'jsonb')};\n\\copy {file.stem} FROM '{file}'\n{_index(file)}")
    _feed(psql, "VACUUM ANALYZE; CHECKPOINT;")


def into_mariadb(socket: Path, files: Sequence[Path]) -> None:
    """Load the files into a new database `shop`."""
    client = ["mariadb", "--no-defaults", "--local-infile=1", f"--socket={socket}", "--user=root"]
    _feed(client, "CREATE DATABASE shop CHARACTER SET utf8mb4")
    for file in files:
        load = f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE {file.stem} CHARACTER SET utf8mb4"
        _feed([*client, "shop"], f"{_table(file, 'datetime', 'json')}; {load}; {_index(file)}")


def into_sqlite(database: Path, files: Sequence[Path]) -> None:
    """Load the files into a new file."""
    for file in files:
        load = f"{_table(file, 'text', 'text')};\n.mode tabs\n.import {file} {file.stem}\n"
        _feed(["sqlite3", str(database)], f"PRAGMA journal_mode=WAL;\n{load}{_index(file)}")


def _table(file: Path, time: str, document: str) -> str:
    return f"CREATE TABLE {file.stem} ({_COLUMNS.format(time=time, json=document)})"


def _index(file: Path) -> str:
    """Orders are looked for by customer: a table of some size has such an index, and rows are counted by it."""
    return f"CREATE INDEX {file.stem}_of_customer ON {file.stem} (customer);"


def _feed(argv: Sequence[str], script: str) -> None:
    try:
        done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        cannot_measure(f"{argv[0]} is not installed")
    if done.returncode:
        cannot_measure(f"{argv[0]} ended with {done.returncode}: {done.stderr[-500:]}")
