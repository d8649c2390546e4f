"""A daemon with a fleet: hands out by the config that counts now, and leaves messages to whoever is to send them."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from backupman.app import App
from backupman.daemon import Daemon
from backupman.engine.live import Live
from backupman.engine.runner import Order
from backupman.errors import ConfigError
from backupman.fleet import control_of
from backupman.fleet.control import Control
from backupman.records import AssignmentKind
from tests.fleet.conftest import Bed


@pytest.fixture
def daemon(bed: Bed) -> Iterator[Daemon]:
    """A daemon of the installation, which does nothing by itself."""
    made = Daemon(bed.folder / "config.yml", bed.clock)
    yield made
    made.stop(made.app.config.shutdown_grace)


def write(bed: Bed, **sections: Any) -> None:
    """Write another config."""
    (bed.folder / "config.yml").write_text(yaml.safe_dump(bed.config | sections))


def excerpts(bed: Bed) -> list[dict[str, Any]]:
    """What of the config is in the queues."""
    return [task["args"]["excerpt"]["config"] for task in bed.tasks()]


def test_what_is_handed_out_after_a_reload_goes_by_the_new_config(bed: Bed, daemon: Daemon) -> None:
    daemon.executor.start(daemon.app.plans, ["App"], Order(), wait=True)
    write(bed, pipeline={"compression": {"method": "none"}})
    daemon.reload()
    daemon.executor.start(daemon.app.plans, ["App"], Order(), wait=True)
    before, after = excerpts(bed)
    assert "pipeline" not in before
    assert after["pipeline"] == {"compression": {"method": "none"}}


def test_a_config_that_cannot_be_handed_out_changes_nothing(
    bed: Bed, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    before = daemon.executor
    shop = {"provider": "postgres", "label": "Shop", "db_name": "shop", "user": "shop", "password": "s3cr3t-w0rd"}
    write(bed, data_sources=[shop])
    daemon.reload()
    assert daemon.executor is before
    assert "the old one stays" in caplog.text
    assert "data_sources[0].password" in caplog.text
    assert "s3cr3t-w0rd" not in caplog.text


def test_what_somebody_asks_for_is_handed_out_by_the_control_host(bed: Bed, daemon: Daemon) -> None:
    daemon.executor.start(daemon.app.plans, ["Blog"], Order(), wait=False)
    assert [(each.source, each.queue, each.state) for each in bed.open()] == [("Blog", "db7", "waiting")]
    assert not daemon.app.executor.busy


def test_without_a_fleet_there_is_no_control(bed: Bed) -> None:
    write(bed, executor="embedded")
    app = App.from_config(bed.folder / "config.yml")
    bed.apps.append(app)
    assert control_of(app, Live(), bed.clock) is None


def test_messages_of_a_queue_are_handed_out_once_while_they_are_owed(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/hook")
    bed.begin(notifiers={"webhook": {"queue": "hooks", "endpoints": [{"name": "Hook", "url": "${HOOK}"}]}})
    control = control_of(bed.app, Live(), bed.clock)
    assert isinstance(control, Control)
    [deliver] = [work for _, name, work in control.lanes() if name == "messages of workers"]
    deliver()
    assert bed.open() == []
    [source] = [source for source in bed.plan.sources if source.label == "App"]
    bed.app.runner.refuse(bed.plan, source, Order(), ConfigError("App: why"))
    bed.clock.now = bed.app.store.outbox.next_due(bed.instance, among=["webhook/Hook"]) or bed.clock.now
    for _ in range(2):
        deliver()
    assert [(each.kind, each.queue) for each in bed.open()] == [(AssignmentKind.DELIVER, "hooks")]
    [excerpt] = excerpts(bed)
    assert excerpt["notifiers"]["webhook"][0]["endpoints"] == [{"name": "Hook", "url": "${HOOK}"}]
    bed.store.assignments.end(bed.open()[0].id, bed.clock(), holder=None)
    deliver()
    assert len(bed.open()) == 1
    control.close()
