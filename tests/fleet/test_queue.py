"""The queues in PostgreSQL: apart from whatever else is there, filled in one transaction with what they are about."""

import multiprocessing
from collections.abc import Sequence
from datetime import timedelta
from importlib import resources

import psycopg
import pytest
from procrastinate.schema import SchemaManager
from sqlalchemy import text
from sqlmodel import Session

from backupman.errors import StoreError
from backupman.fleet.queue import SCHEMA, TASK, Queue
from backupman.queues import queue_of_home
from backupman.records import Assignment, AssignmentKind, new_id
from backupman.store import Store
from backupman.store.assignments import enter
from tests.fleet.conftest import Bed, address_of
from tests.servers.postgres import Postgres


@pytest.fixture
def address(postgres: Postgres, postgres_database: str) -> str:
    """The address of an empty database."""
    return address_of(postgres, postgres_database)


def tables(server: Postgres, database: str) -> dict[str, list[str]]:
    """The tables of a database by their schemas."""
    query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', %s) ORDER BY 1, 2"
    found: dict[str, list[str]] = {}
    with server.connect(database) as connection:
        for schema, table in connection.execute(query, [SCHEMA]):
            found.setdefault(schema, []).append(table)
    return found


def prepare(address: str) -> None:
    """In a process of its own."""
    Queue(address, "shop").prepare()


def test_its_tables_stand_beside_those_of_another_procrastinate(
    postgres: Postgres, postgres_database: str, address: str
) -> None:
    with postgres.connect(postgres_database) as connection:
        connection.execute(SchemaManager.get_schema().encode())
        connection.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('theirs', 'their task')")
    before = tables(postgres, postgres_database)["public"]
    Queue(address, "shop").prepare()
    after = tables(postgres, postgres_database)
    assert after["public"] == before
    assert set(after[SCHEMA]) == {*before, "applied"}
    store = Store.open(address)
    waiting = Assignment(instance="shop", kind=AssignmentKind.DELIVER, queue="any")
    store.assignments.hand_out([waiting], lambda session, each: Queue(address, "shop").put(session, each[0], {}))
    store.close()
    with postgres.connect(postgres_database) as connection:
        assert connection.execute("SELECT task_name FROM public.procrastinate_jobs").fetchall() == [("their task",)]
        assert connection.execute(f"SELECT task_name FROM {SCHEMA}.procrastinate_jobs").fetchall() == [(TASK,)]


def test_they_are_made_once_however_many_ask_at_once(postgres: Postgres, postgres_database: str, address: str) -> None:
    context = multiprocessing.get_context("forkserver")
    asking = [context.Process(target=prepare, args=(address,)) for _ in range(2)]
    for process in asking:
        process.start()
    for process in asking:
        process.join(100)
    assert [process.exitcode for process in asking] == [0, 0]
    made = tables(postgres, postgres_database)
    prepare(address)
    assert tables(postgres, postgres_database) == made


def test_what_an_older_procrastinate_made_is_brought_up_to_date(
    postgres: Postgres, postgres_database: str, address: str
) -> None:
    files = sorted(
        (file for file in resources.files("procrastinate.sql.migrations").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    with postgres.connect(postgres_database, options=f"-c search_path={SCHEMA}") as connection:
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
        connection.execute("CREATE TABLE applied (name text PRIMARY KEY)")
        for file in files[:-2]:
            connection.execute(file.read_text().encode())
            connection.execute("INSERT INTO applied VALUES (%s)", [file.name])
    Queue(address, "shop").prepare()
    with postgres.connect(postgres_database) as connection:
        applied = connection.execute(f"SELECT name FROM {SCHEMA}.applied ORDER BY name").fetchall()
    assert applied == [(file.name,) for file in files]


def test_what_a_newer_procrastinate_made_is_left_alone(
    postgres: Postgres, postgres_database: str, address: str
) -> None:
    queue = Queue(address, "shop")
    queue.prepare()
    with postgres.connect(postgres_database) as connection:
        connection.execute(f"INSERT INTO {SCHEMA}.applied VALUES ('99.00.00_01_newer.sql')")
    with pytest.raises(StoreError) as refused:
        queue.prepare()
    assert refused.value.sentence == (
        "the queues were made by a newer Procrastinate (99.00.00_01_newer.sql): install at least that version here"
    )


def test_a_server_that_is_not_there_is_named_without_its_password(address: str) -> None:
    queue = Queue("postgresql+psycopg://shop:s3cr3t-w0rd@127.0.0.1:1/records", "shop")
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/records cannot be made: ") as refused:
        queue.prepare()
    assert "s3cr3t-w0rd" not in refused.value.sentence


@pytest.mark.parametrize("said", ["", "?keepalives_idle=7"])
def test_its_connections_notice_a_server_that_is_gone_without_a_word(address: str, said: str) -> None:
    with psycopg.connect(Queue(address + said, "shop").conninfo) as connection:
        parameters = connection.info.get_parameters()
    asked = {name: parameters[name] for name in ("keepalives_idle", "tcp_user_timeout")}
    assert asked == {"keepalives_idle": "7" if said else "30", "tcp_user_timeout": "60000"}


@pytest.mark.parametrize("what", ["assignments", "a run"])
def test_a_task_goes_with_its_assignment_when_the_transaction_fails(bed: Bed, what: str) -> None:
    handing = bed.handing

    def then_fail(session: Session, assignments: Sequence[Assignment]) -> None:
        enter(session, assignments, handing.put)
        assert session.connection().execute(text(f"SELECT count(*) FROM {SCHEMA}.procrastinate_jobs")).scalar()
        raise StoreError("the records cannot be reached")

    def begin(session: Session, _run_id: int) -> None:
        then_fail(session, [handing.new(AssignmentKind.BACKUP, "any", "nightly", "App")])

    due = bed.clock()
    with pytest.raises(StoreError):
        if what == "a run":
            bed.store.jobs.open_run(bed.instance, "nightly", due, due, None, begin)
        else:
            bed.store.assignments.within(lambda session: begin(session, 0))
    assert (bed.tasks(), bed.all()) == ([], [])
    assert bed.store.jobs.runs(bed.instance, "nightly", 10) == []


def test_what_somebody_waits_for_goes_first_and_each_source_is_dumped_by_one_at_a_time(bed: Bed) -> None:
    handing = bed.handing
    run = bed.store.jobs.open_run(bed.instance, "nightly", bed.clock(), bed.clock())
    kinds = [*AssignmentKind, AssignmentKind.BACKUP]
    assignments = [handing.new(kind, "any", "nightly", "App") for kind in kinds]
    assignments[-1].run_id = run

    def put(session: Session, assignments: Sequence[Assignment]) -> None:
        for assignment in assignments:
            bed.queue.put(session, assignment, {})

    bed.store.assignments.hand_out(assignments, put)
    tasks = {task["args"]["assignment"]: task for task in bed.tasks()}
    by_priority = sorted(assignments, key=lambda each: -tasks[each.id]["priority"])
    assert [(each.kind, each.run_id is not None) for each in by_priority] == [
        ("deliver", False), ("restore", False), ("backup", False), ("retry", False), ("backup", True), ("verify", False)
    ]  # fmt: skip
    locks = {(each.kind, each.run_id): tasks[each.id]["lock"] for each in assignments}
    assert locks["backup", None] == locks["backup", run] == locks["retry", None]
    assert locks["restore", None] is None
    assert len({*locks.values()}) == 4
    assert bed.open()[0].task_id in {task["id"] for task in tasks.values()}


def test_the_locks_and_queues_of_installations_are_apart(bed: Bed) -> None:
    other = Queue(bed.address, f"not {bed.instance}")
    assert other.name_of("any") != bed.queue.name_of("any")
    assert other.channel != bed.queue.channel
    bed.asked("App")
    with_mine = bed.store.assignments.within(bed.queue.tasks)
    assert [task.assignment for task in with_mine] == [bed.open()[0].id]
    assert bed.store.assignments.within(other.tasks) == []


def test_the_longest_names_are_still_channels_of_postgresql(bed: Bed) -> None:
    longest = "q" * 60
    names = [longest, queue_of_home(new_id())]
    with bed.connect() as connection:
        for name in [*map(bed.queue.name_of, names), bed.queue.channel]:
            connection.execute(f'LISTEN "procrastinate_queue_v1#{name}"'.encode())
        channels = [channel for (channel,) in connection.execute("SELECT pg_listening_channels()")]
    assert max(map(len, channels)) <= 63
    assert len(channels) == 3


def test_the_session_finds_its_own_tables_as_before(bed: Bed) -> None:
    def path(session: Session) -> str:
        return str(session.connection().execute(text("SHOW search_path")).scalar())

    def look(session: Session) -> list[str]:
        before = path(session)
        bed.handing.put(session, [])
        bed.queue.tasks(session)
        return [before, path(session)]

    before, after = bed.store.assignments.within(look)
    assert before == after != SCHEMA
    assert bed.store.assignments.within(path) == before


def test_what_is_to_wait_is_due_later(bed: Bed) -> None:
    assignment = bed.handing.new(AssignmentKind.BACKUP, "any", "nightly", "App")
    bed.store.assignments.hand_out(
        [assignment], lambda session, each: bed.handing.put(session, each, timedelta(hours=3))
    )
    [(waits,)] = bed.sql(
        "SELECT scheduled_at BETWEEN now() + interval '2 hours' AND now() + interval '4 hours'"
        " FROM procrastinate_jobs WHERE id = %s",
        assignment.task_id,
    )
    assert waits


def test_what_is_dropped_frees_its_lock(bed: Bed) -> None:
    [first] = bed.asked("App")
    bed.take(first, bed.worker())
    assert first.task_id
    excerpt = bed.store.assignments.within(lambda session: bed.queue.excerpt_of(session, first.task_id or 0))
    assert excerpt
    assert excerpt["config"]["data_sources"][0]["label"] == "App"
    bed.store.assignments.within(lambda session: bed.queue.drop(session, [first.task_id or 0]))
    assert bed.tasks() == []
    assert bed.store.assignments.within(lambda session: bed.queue.excerpt_of(session, first.task_id or 0)) is None
    with pytest.raises(psycopg.errors.UndefinedTable), bed.server.connect(bed.address.rsplit("/", 1)[1]) as plain:
        plain.execute("SELECT 1 FROM procrastinate_jobs")


@pytest.mark.parametrize("what", ["put", "drop", "look"])
def test_a_lost_connection_is_the_stores_error(bed: Bed, what: str) -> None:
    assignment = bed.handing.new(AssignmentKind.BACKUP, "any", "nightly", "App")

    def work(session: Session) -> None:
        backend = session.connection().execute(text("SELECT pg_backend_pid()")).scalar()
        with bed.connect() as other:
            other.execute("SELECT pg_terminate_backend(%s, 60000)", [backend])
        if what == "put":
            bed.handing.put(session, [assignment])
        elif what == "drop":
            bed.queue.drop(session, [1])
        else:
            bed.queue.tasks(session)

    with pytest.raises(StoreError, match="cannot be used: "):
        bed.store.assignments.within(work)
    bed.asked("App")
    assert [task["args"]["assignment"] for task in bed.tasks()] == [each.id for each in bed.open()]
