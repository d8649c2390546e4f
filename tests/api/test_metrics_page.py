"""docs/metrics.md tells of every metric with its labels, and of no other; its alert rules are rules."""

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backupman.engine.alarm_drills import begin, drilled
from backupman.records import Incident, now
from backupman.store.ingest import Recipient, Reported
from tests.api.conftest import Api, configuration
from tests.engine._fleet import Fleet, fleet, shared_records
from tests.pages import ROOT, Page
from tests.servers import program
from tests.servers.receiver import Receiver

__all__ = ["fleet", "shared_records"]

PAGE = Page(ROOT / "docs/metrics.md")


def families(api: Api) -> Iterator[tuple[str, str, str, set[str]]]:
    """The name, type, help and labels of every metric, with everything that there can be recorded."""
    with api.client("read") as client:
        text = client.get("/metrics").text
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels}
        yield name, family.type, family.documentation, labels


@pytest.fixture
def full(configured: Api, receiver: Receiver) -> Api:
    """A daemon with a sample of every metric."""
    configured.config["data_sources"][0]["freshness"] = "SELECT datetime('now')"
    api = configured.start()
    api.run()
    app = api.daemon.app
    assert begin(app.config, app.store, drilled(app.config), now(), now())
    app.dispatcher.drain(timedelta(seconds=20))
    assert [checked.error for checked in app.verifier.verify(app.store.backups.list(), level="restore")] == [None]
    api.daemon.app.store.ingest.backup(
        Reported("web-1", "Nightly", now(), "Success", "m", seconds=1.0), Recipient("test-host")
    )
    at = now()
    with api.daemon.app.store._sessions.writing() as session:
        session.add(
            Incident(
                instance="test-host",
                kind="backup_late",
                job="nightly",
                source="App",
                database="app",
                due_at=at,
                opened_at=at,
                reminded_at=at,
            )
        )
    return api


@pytest.fixture
def led(tmp_path: Path, fleet: Fleet) -> Iterator[Api]:
    """A daemon whose work is handed to workers, two of them."""
    folder = tmp_path / "led"
    folder.mkdir()
    api = Api(folder, configuration(folder, "http://127.0.0.1:9") | fleet.sections)
    fleet.worker("db-7", "db7", takes_any=True)
    fleet.worker("db-8", "db8")
    yield api.start()
    api.stop()


def test_every_metric_is_documented_with_its_labels_and_no_other_is(full: Api, led: Api) -> None:
    rows = {
        cells[0].strip("`"): (cells[1], set(cells[2].replace("`", "").split(", ")) - {""})
        for line in PAGE.text.splitlines()
        if line.startswith("| `backupman_")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    known = {name: (kind, labels, text) for api in (led, full) for name, kind, text, labels in families(api)}
    assert rows == {name: (kind, labels) for name, (kind, labels, _) in known.items()}
    assert len({text for _, _, text in known.values()}) == len(known)


@pytest.mark.service("promtool")
def test_prometheus_has_nothing_to_say_against_the_metrics(full: Api, led: Api) -> None:
    for api in (full, led):
        with api.client("read") as client:
            text = client.get("/metrics").text
        argv = [program("promtool"), "check", "metrics"]
        checked = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.service("promtool")
def test_the_documented_alert_rules_are_rules_on_metrics_that_there_are(full: Api, led: Api, tmp_path: Path) -> None:
    (rules,) = [block for block in PAGE.blocks("yaml") if block.text.startswith("groups:")]
    file = tmp_path / "rules.yml"
    file.write_text(rules.text)
    checked = subprocess.run(
        [program("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    known = {name for api in (full, led) for name, *_ in families(api)}
    named = {word.rstrip("{[") for word in rules.text.replace("(", " ").split() if word.startswith("backupman_")}
    assert {name.split("{")[0].split("[")[0] for name in named} <= known
