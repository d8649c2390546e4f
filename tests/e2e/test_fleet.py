"""A control host and workers: what is due happens once, where it should, and no secret leaves its host."""

import gzip
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backupman.records import RunState, Status
from tests.e2e.fleet import INSTANCE, YEARLY, Fleet, everything_written, fleet_in
from tests.e2e.test_service import api
from tests.e2e.world import wait_for
from tests.servers.postgres import Postgres
from tests.servers.receiver import Receiver
from tests.store.conftest import server_address

PASSWORD = "shop-s3cr3t-passw0rd"
TOKEN = "hook-s3cr3t-t0ken"
LABELS = ["A", "B", "C", "D", "E", "F", "G", "H"]
SHOPS = ["Shop1", "Shop2", "Shop3", "Shop4"]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def fleet(tmp_path: Path, receiver: Receiver, request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Fleet]:
    """A fleet whose records are in a database of their own; nothing of it runs."""
    address = server_address(request, "postgres")
    with fleet_in(tmp_path, receiver, address, SHOP_PASSWORD=PASSWORD, HOOK_TOKEN=TOKEN) as fleet:
        yield fleet


@pytest.fixture
def shop(postgres: Postgres) -> Iterator[str]:
    """A database with content, and a superuser of the same name who has the password."""
    name = postgres.create_database()
    postgres.psql(
        name, f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{PASSWORD}'; CREATE TABLE fruit AS SELECT 'pear' n"
    )
    yield name
    for each in (name, f"{name}_back"):
        postgres.drop_database(each)
    postgres.psql("postgres", f"DROP ROLE {name}")


def test_a_dozen_due_at_once_are_each_done_once_and_no_secret_leaves_its_host(
    fleet: Fleet, postgres: Postgres, shop: str
) -> None:
    server = {"host": postgres.host, "port": postgres.port, "user": shop, "password": "${SHOP_PASSWORD}"}
    config = fleet.control.config
    config["data_sources"] = [fleet.sqlite(label, queue="east") for label in LABELS[:4]]
    config["data_sources"] += [fleet.sqlite(label) for label in LABELS[4:]]
    config["data_sources"] += [
        {"provider": "postgres", "label": label, "db_name": shop, "queue": "west", **server} for label in SHOPS
    ]
    config["jobs"][0]["cron"] = "* * * * * *"
    config["notifiers"]["webhook"]["endpoints"][0]["token"] = "${HOOK_TOKEN}"
    control = fleet.serve()
    wait_for(fleet.assignments)
    config["jobs"][0]["cron"] = YEARLY
    fleet.reload(control, signal.SIGHUP)
    assert sorted(each.source for each in fleet.assignments()) == sorted(LABELS + SHOPS)
    assert [run.state for run in fleet.store.jobs.runs(INSTANCE, "nightly", 99)].count(RunState.RUNNING) == 1
    database = fleet.address.rsplit("/", 1)[1]
    with postgres.connect(database) as connection:
        written = everything_written(connection)
    assert "${SHOP_PASSWORD}" in written, "what is looked through holds the queue"

    fleet.worker("east", "east", take_any=True)
    fleet.worker("west", "west", take_any=True)
    wait_for(fleet.idle, 240)
    wait_for(fleet.reported, 240)

    backups = fleet.backups()
    assert sorted(backup.source for backup in backups) == sorted(LABELS + SHOPS)
    assert {(backup.status, backup.error) for backup in backups} == {(Status.FINISHED, None)}
    assert set(fleet.reports().values()) == {1}
    homes = {backup.source: backup.home for backup in backups}
    assert {homes[label] for label in LABELS[:4]} == {fleet.home("east")}
    assert {homes[label] for label in SHOPS} == {fleet.home("west")}
    ended = fleet.ended()
    assert sorted(record for each in ended for record in each.records) == sorted(backup.id for backup in backups)
    assert {each.attempts for each in ended} == {1}
    states = Counter(run.state for run in fleet.store.jobs.runs(INSTANCE, "nightly", 99))
    assert (states[RunState.DONE], states[RunState.RUNNING]) == (1, 0)
    assert fleet.litter() == []
    with postgres.connect(database) as connection:
        written += everything_written(connection)
    assert [secret for secret in (PASSWORD, TOKEN, postgres.password) if secret in written] == []

    for backup in backups:
        if backup.source in LABELS:
            [path] = [Path(file.path or "") for file in backup.drive_files]
            restored = fleet.folder / f"{backup.source}.restored"
            restored.write_bytes(gzip.decompress(path.read_bytes()))
            with closing(sqlite3.connect(restored)) as content:
                assert content.execute("select name from users").fetchall() == [(f"Ada of {backup.source}",)]
    dump = next(backup for backup in backups if backup.source == "Shop1")
    with api(fleet.control) as client:
        answer = client.post(f"/api/backups/{dump.id}/restore", json={"ToDatabase": f"{shop}_back"})
        assert answer.status_code == 202, answer.text
    restores = f"/api/restores/{answer.json()['Id']}"
    wait_for(lambda: fleet.get(restores).get("Status") in ("finished", "failed"))
    assert fleet.get(restores)["Status"] == "finished", fleet.get(restores)
    assert postgres.psql(f"{shop}_back", "SELECT n FROM fruit") == "pear\n"
