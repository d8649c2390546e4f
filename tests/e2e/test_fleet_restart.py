"""PostgreSQL is restarted, without a word to anybody, under a fleet at work: everything ends, and nothing twice."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from backupman.records import RunState, Status
from tests.e2e.fleet import INSTANCE, YEARLY, Fleet, fleet_in
from tests.e2e.world import wait_for
from tests.servers._process import Account
from tests.servers.postgres import Postgres, running
from tests.servers.receiver import Receiver

pytestmark = pytest.mark.timeout(600)

LABELS = ["A", "B", "C"]


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL of this test's own, which it may restart."""
    with running() as server:
        try:
            yield server
        finally:
            control(server, "stop", "fast")


def control(server: Postgres, *what: str) -> None:
    """Stop or restart the server in a mode."""
    action, mode = what
    with server.connect() as connection:
        [folder] = connection.execute("SHOW data_directory").fetchone() or ()
    log = ["-l", f"{folder}/restarted.log"] if action == "restart" else []
    Account("postgres").run(server.bin / "pg_ctl", action, "-D", folder, "-m", mode, "-w", "-t", "90", *log)


@pytest.fixture
def fleet(tmp_path: Path, receiver: Receiver, server: Postgres) -> Iterator[Fleet]:
    """A fleet that waits longer for PostgreSQL than a restart can take; nothing of it runs."""
    database = server.create_database()
    with server.connect() as connection:  # what is committed is to outlive this server, unlike others of the tests
        connection.execute(f"ALTER DATABASE {database} SET synchronous_commit = on")
    url = URL.create("postgresql+psycopg", server.user, server.password, server.host, server.port, database)
    with fleet_in(tmp_path, receiver, url.render_as_string(hide_password=False)) as fleet:
        fleet.lease = "10m"
        fleet.control.config["database"]["takeover_after"] = fleet.lease
        yield fleet


def test_all_that_is_due_is_done_once_although_postgresql_is_restarted(fleet: Fleet, server: Postgres) -> None:
    config = fleet.control.config
    config["data_sources"] = [fleet.held("Held"), *map(fleet.sqlite, LABELS)]
    config["jobs"] = [{"label": "often", "cron": "* * * * * *", "misfire_grace": "1h"}]
    serving = fleet.serve()
    workers = [fleet.worker(name, take_any=True) for name in ("first", "second")]
    for count in (1, 5):
        wait_for(lambda count=count: len(fleet.finished()) > count and fleet.dumps("Held"), 240)
        control(server, "restart", "immediate")
    count = len(fleet.finished())
    wait_for(lambda: len(fleet.finished()) > count, 240)
    config["jobs"][0]["cron"] = YEARLY
    fleet.reload(serving, signal.SIGHUP)
    fleet.go()
    wait_for(fleet.idle, 400)

    assert [process.poll() for process in (serving, *workers)] == [None] * 3
    ended = fleet.ended()
    backups = {backup.id: backup for backup in fleet.backups()}
    assert Counter(record for each in ended for record in each.records) == Counter(list(backups))
    for each in ended:
        statuses = [backups[record].status for record in each.records]
        assert statuses.count(Status.FINISHED) == 1, (each, statuses)
    assert max(Counter((each.run_id, each.source) for each in ended).values()) == 1
    runs = fleet.store.jobs.runs(INSTANCE, "often", 10_000)
    assert {run.id for run in runs if run.state == RunState.DONE} == {each.run_id for each in ended}
    assert not [run for run in runs if run.state == RunState.RUNNING]
    events = [event for event in fleet.store.outbox.events(limit=None) if event.kind == "backup_report"]
    assert Counter(event.payload["Id"] for event in events) == Counter(list(backups)), "each is reported, and once"
    told = [(request.headers["webhook-id"], json.loads(request.body)) for request in fleet.receiver.requests]
    arrived = {(message, document["Payload"]["Id"]) for message, document in told}
    assert set(Counter(backup for _, backup in arrived).values()) <= {1}, "it may come twice, but never two of them"
