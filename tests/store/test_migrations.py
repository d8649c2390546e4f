"""The tables are made once, come out as the records describe them, and nothing else is touched."""

import multiprocessing
import stat
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import SQLModel

from backupman.errors import StoreError
from backupman.migrations import HEAD, VERSION_TABLE
from backupman.store import Store
from backupman.store._sessions import translated
from backupman.store.migrating import migrate
from tests.store.conftest import a_backup, server_address, sqlite_address


def connection_of(store: Store) -> Connection:
    """A connection of the store's own engine: for a database in memory there is no other."""
    return store._engine.connect()


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "backupman:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_an_empty_database_gets_the_tables_that_the_records_describe(store: Store) -> None:
    with connection_of(store) as connection:
        options = {"version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, SQLModel.metadata) == []


def test_every_table_has_a_name_of_our_own(store: Store) -> None:
    with connection_of(store) as connection:
        assert {name.split("_")[0] for name in inspect(connection).get_table_names()} == {"backupman"}


def test_opening_again_changes_nothing(shared_address: str) -> None:
    first = Store.open(shared_address)
    backup = first.backups.begin(a_backup(), [])
    first.close()
    second = Store.open(shared_address)
    assert second.backups.get(backup.id).label == "shop"
    second.close()


def open_store(
    address: str, ready: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue[str]"
) -> None:
    """In a process of its own: open the store at the same moment as the others."""
    ready.wait()
    try:
        Store.open(address).close()
        results.put("opened")
    except StoreError as error:
        results.put(error.sentence)


def test_processes_that_start_at_once_migrate_once(shared_address: str) -> None:
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=open_store, args=(shared_address, ready, results)) for _ in range(4)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["opened"] * 4
    for process in processes:
        process.join()
    store = Store.open(shared_address)
    assert store.backups.list() == []
    store.close()


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(shared_address: str) -> None:
    Store.open(shared_address).close()
    store = Store(shared_address)
    with connection_of(store) as connection, connection.begin():
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match=f"made by a newer version of backupman .revision 9999, this one knows {HEAD}"):
        Store.open(shared_address)
    with connection_of(store) as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "9999"
    store.close()


ORIGINAL_TABLES = [
    "CREATE TABLE backups (id VARCHAR(36) PRIMARY KEY, label VARCHAR(50), status VARCHAR(20))",
    "CREATE TABLE backup_drive_files (id VARCHAR(36) PRIMARY KEY, backup_id VARCHAR(36), path VARCHAR(50))",
    "INSERT INTO backups VALUES ('a1', 'MySQL 1', 'finished')",
    "INSERT INTO backup_drive_files VALUES ('f1', 'a1', '/x')",
]


def test_the_original_programs_tables_in_the_same_database_stay_untouched(shared_address: str, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    original = Store(shared_address)
    with connection_of(original) as connection, connection.begin():
        for statement in ORIGINAL_TABLES:
            connection.execute(text(statement))
    store = Store.open(shared_address)
    backup = store.backups.begin(a_backup(), [])
    assert [found.id for found in store.backups.list()] == [backup.id]
    with connection_of(original) as connection:
        assert connection.execute(text("SELECT * FROM backups")).all() == [("a1", "MySQL 1", "finished")]
        assert connection.execute(text("SELECT * FROM backup_drive_files")).all() == [("f1", "a1", "/x")]
    store.close()
    original.close()


def test_a_migration_that_breaks_off_leaves_nothing_half_made(tmp_path: Path) -> None:
    address = sqlite_address(tmp_path / "records.db")
    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE backupman_events (x INTEGER)"))
    with pytest.raises(StoreError, match="table backupman_events already exists"):
        Store.open(address)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == ["backupman_events"]
        connection.execute(text("DROP TABLE backupman_events"))
    engine.dispose()
    Store.open(address).close()


def test_one_that_breaks_off_on_mysql_which_commits_each_step_goes_on(request: pytest.FixtureRequest) -> None:
    address = server_address(request, "mariadb")
    for steps in range(0, 40, 5):
        with pytest.raises(StoreError, match="cannot be used: Cut"), closing(Store(address)) as store:
            _cut_after(steps, store)
            with translated("store"):
                migrate(store._engine, None)
    with closing(Store.open(address)) as store, connection_of(store) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, SQLModel.metadata) == []


def _cut_after(steps: int, store: Store) -> None:
    """Let nothing more be made or changed than so many tables, columns and indexes."""
    left = iter(range(steps))

    def cut(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith(("CREATE", "ALTER", "DROP")) and next(left, None) is None:
            raise SQLAlchemyError("Cut")

    event.listen(store._engine, "before_cursor_execute", cut)


def test_a_new_file_and_its_folder_are_for_our_own_account_alone(tmp_path: Path) -> None:
    file = tmp_path / "state" / "records.db"
    store = Store.open(sqlite_address(file))
    store.backups.begin(a_backup(), [])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [file.parent, *file.parent.iterdir()]}
    store.close()
    assert modes.pop("state") == 0o700
    assert "records.db.lock" in modes
    assert set(modes.values()) == {0o600}


def test_a_file_with_odd_letters_in_its_name_is_found_again(tmp_path: Path) -> None:
    file = tmp_path / "my ?state#100%25" / "re%cords ß.db"
    Store.open(sqlite_address(file)).close()
    assert file.is_file()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/records.db", "File exists: {folder}/file"),
        ("file/deeper/records.db", "Not a directory: {folder}/file/deeper"),
        ("/proc/nowhere/records.db", "No such file or directory: /proc/nowhere"),
        ("", "Is a directory: {folder}"),
        ("file", "file is not a database"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").write_text("this is no database, " * 100)
    address = sqlite_address(tmp_path / place)
    with pytest.raises(StoreError) as refused:
        Store.open(address)
    what_to_do = "see `database` and `state_folder` in the config"
    if place == "file":
        what_to_do = (
            "if it is the right file, stop backupman, move it away together with its -wal and -shm, and `backupman "
            "reconcile --fix` makes the records anew from the drives"
        )
    said = f"the store {address} cannot be used: {reason.format(folder=tmp_path)}; {what_to_do}"
    assert refused.value.sentence == said
