"""Workers that are killed, frozen or cut off in the middle of a dump: it fails once, and another makes it anew."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backupman.records import Status
from tests.drives._tcp import tcp_proxy
from tests.e2e.fleet import Fleet, fleet_in
from tests.e2e.scheduling import command
from tests.e2e.world import wait_for
from tests.servers.postgres import Postgres
from tests.servers.receiver import Receiver
from tests.store.conftest import server_address

pytestmark = pytest.mark.timeout(600)

SOURCES = ["Killed", "Frozen", "Cut"]


@pytest.fixture
def fleet(tmp_path: Path, receiver: Receiver, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet whose records are in a database of their own; nothing of it runs."""
    with fleet_in(tmp_path, receiver, server_address(request, "postgres")) as fleet:
        yield fleet


def under_way(fleet: Fleet) -> bool:
    """Whether each of the dumps has come to its drive, and is not through."""
    partial = " ".join(fleet.litter())
    return all(source.lower() in partial for source in SOURCES)


def gone(process: int) -> bool:
    """Whether a process has ended."""
    return not Path(f"/proc/{process}").exists()


def test_what_lost_workers_had_under_way_fails_once_and_is_done_by_another(fleet: Fleet, postgres: Postgres) -> None:
    config = fleet.control.config
    slow = command("Killed", "head -c 20000000 /dev/urandom", queue="killed", bandwidth="100KiB")
    config["data_sources"] = [slow, fleet.held("Frozen", queue="frozen"), fleet.held("Cut", queue="cut")]
    config["pipeline"] = {"compression": {"method": "none"}}
    control = fleet.serve()
    with tcp_proxy(postgres.port) as way:
        killed = fleet.worker("killed", "killed")
        frozen = fleet.worker("frozen", "frozen")
        cut = fleet.worker("cut", "cut", address=fleet.address.replace(f":{postgres.port}/", f":{way.port}/"))
        fleet.ask(*SOURCES)
        wait_for(lambda: under_way(fleet), 240)
        wait_for(lambda: fleet.dumps("Frozen") and fleet.dumps("Cut"), 240)
        tools = [fleet.dumps(label)[0] for label in ("Frozen", "Cut")]

        killed.kill()
        frozen.send_signal(signal.SIGSTOP)
        way.stop_at = 0
        fleet.worker("other", "killed", "frozen", "cut")
        del slow["bandwidth"]
        fleet.reload(control, signal.SIGHUP)
        assert cut.wait(240) == 1
        wait_for(lambda: all(map(gone, tools)), 240)
        wait_for(lambda: not fleet.children("killed"), 240)
        assert not fleet.children("cut")
    fleet.go()
    wait_for(lambda: fleet.backups("Frozen")[0].status == Status.FAILED, 240)
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(240) == 1
    wait_for(fleet.idle, 240)
    wait_for(fleet.reported, 240)
    wait_for(lambda: not fleet.litter(), 240)

    assert [len(fleet.dumps(label)) for label in ("Frozen", "Cut")] == [2, 2]
    for source in SOURCES:
        backups = fleet.backups(source)
        assert [backup.status for backup in backups] == [Status.FAILED, Status.FINISHED], source
        assert [backup.home for backup in backups] == [fleet.home(source.lower()), fleet.home("other")]
        assert "killed" in (backups[0].error or ""), backups[0].error
        [assignment] = [each for each in fleet.ended() if each.source == source]
        assert (assignment.attempts, assignment.error) == (2, None)
        assert assignment.records == [backup.id for backup in backups]
    assert set(fleet.reports().values()) == {1}
    assert len(fleet.reports()) == 2 * len(SOURCES)
