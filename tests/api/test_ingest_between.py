"""Two daemons that report to each other: each knows what the other has made, and nothing goes round."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api._entries import NOTIFICATION, noted, recorded, sent
from tests.api.conftest import KEYS, Api, configuration
from tests.e2e.world import wait_for


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Api, Api]]:
    """Both are told everything of the other; the addresses are known only once both are there."""
    daemons = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        config: dict[str, Any] = configuration(tmp_path / name, "http://127.0.0.1:9") | {"instance": name}
        config["deliveries"] = {"first_wait": "100ms", "max_wait": "200ms"}
        daemons.append(Api(tmp_path / name, config).start(scheduling=True))
    here, there = daemons
    for daemon, other in ((here, there), (there, here)):
        everything = ["backup_report", "notification"]
        daemon.config["notifiers"] = {
            "backupmonitor": {"server": other.url, "api_key": KEYS["ingest"], "events": everything}
        }
        daemon.write()
        daemon.daemon.reload()
    yield here, there
    for daemon in daemons:
        daemon.stop()


def test_a_backup_is_told_once_and_goes_no_further(pair: tuple[Api, Api]) -> None:
    here, there = pair
    with here.client() as client:
        (backup_id,) = client.post("/api/backups").json()["Ids"]
    wait_for(lambda: recorded(there))
    (told,) = recorded(there)
    shown = [told[key] for key in ("Device", "Job", "Sender", "Status", "SaidStatus")]
    assert shown == ["here", "App", "backupman", "finished", "Success"]
    assert sent(here.client("ingest"), NOTIFICATION).status_code == 201
    with there.client() as client:
        (other_id,) = client.post("/api/backups").json()["Ids"]
    wait_for(lambda: recorded(here))  # by now whatever would have gone round has done so
    wait_for(lambda: not here.daemon.app.store.outbox.owed())
    wait_for(lambda: not there.daemon.app.store.outbox.owed())
    assert [len(recorded(daemon)) for daemon in pair] == [1, 1]
    assert [len(noted(daemon)) for daemon in pair] == [1, 0]
    for daemon, own in ((here, backup_id), (there, other_id)):
        with daemon.client() as client:
            results = client.get("/api/backups?kind=all").json()["Results"]
            assert [backup["Id"] for backup in results if backup["Kind"] == "own"] == [own]
