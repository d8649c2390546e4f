"""Metrics say what is so, come from the records, and a restart clears no alert."""

import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backupman.engine.alarm_drills import begin, drilled
from backupman.events import EventKind
from backupman.records import Incident, Status, now
from backupman.store.ingest import Recipient, Reported
from backupman.store.outbox import Announcement
from tests.api.conftest import Api
from tests.servers.receiver import Answer, Receiver
from tests.store.conftest import a_backup


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scrape looks anew."""
    monkeypatch.setattr("backupman.api.metrics._KEPT", 0.0)


def scraped(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels."""
    with api.client("read") as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(api: Api, name: str, **labels: str) -> float | None:
    return scraped(api).get((f"backupman_{name}", frozenset(labels.items())))


def names(api: Api) -> set[str]:
    return {name for name, _ in scraped(api)}


APP = {"source": "App", "database": "app"}


def test_prometheus_presents_its_key_as_a_bearer(api: Api) -> None:
    with httpx.Client(base_url=api.url, trust_env=False, timeout=90) as prometheus:
        assert prometheus.get("/metrics", headers={"Authorization": "Bearer bm_read-only"}).status_code == 200
        assert prometheus.get("/metrics").status_code == 401


def test_before_the_first_backup_there_is_no_age(api: Api) -> None:
    found = scraped(api)
    assert {name for name, _ in found} == {
        *("backupman_info", "backupman_backups_running", "backupman_deliveries_owed"),
        *("backupman_deliveries_given_up", "backupman_next_run_timestamp_seconds"),
        *("backupman_backups_total", "backupman_stored_bytes_total", "backupman_backup_seconds_total"),
    }
    assert value(api, "deliveries_owed", endpoint="webhook/Hook") == 0
    due = value(api, "next_run_timestamp_seconds", job="nightly")
    assert due is not None
    assert 0 < due - now().timestamp() <= 86_400


def test_a_good_backup_is_seen_on_each_drive(configured: Api) -> None:
    configured.config["drives"].append(
        {"provider": "local", "label": "Second", "folder": str(configured.folder / "second")}
    )
    (backup,) = configured.start().run()
    for drive in ("Disk", "Second"):
        age = value(configured, "newest_finished_age_seconds", **APP, drive=drive)
        assert age is not None
        assert 0 <= age < 60
        at = value(configured, "newest_finished_timestamp_seconds", **APP, drive=drive)
        assert at == pytest.approx(backup.created_at.timestamp(), abs=0.001)
        assert value(configured, "newest_finished_stored_bytes", **APP, drive=drive) == backup.stored_size
        assert value(configured, "newest_finished_duration_seconds", **APP, drive=drive) == pytest.approx(
            backup.seconds or 0
        )
    assert value(configured, "last_backup_success", **APP) == 1
    assert value(configured, "backups_total", **APP, status="finished") == 1
    assert value(configured, "stored_bytes_total", **APP) == backup.stored_size
    assert value(configured, "backup_seconds_total", **APP) == pytest.approx(backup.seconds or 0)
    assert value(configured, "deliveries_owed", endpoint="webhook/Hook") == 1
    configured.stop()
    configured.config["jobs"][0]["drives"] = ["Disk"]
    configured.start()
    ages = {
        dict(labels)["drive"] for name, labels in scraped(configured) if name.endswith("newest_finished_age_seconds")
    }
    assert ages == {"Disk"}, "nothing is promised of the other one any more"


def test_a_failure_does_not_make_the_newest_copy_younger_and_a_restart_does_not_hide_it(api: Api) -> None:
    (good,) = api.run()
    Path(api.config["data_sources"][0]["db_path"]).rename(api.folder / "away")
    (bad,) = api.run()
    assert bad.status == "failed"
    for _ in range(2):
        at = value(api, "newest_finished_timestamp_seconds", **APP, drive="Disk")
        assert at == pytest.approx(good.created_at.timestamp(), abs=0.001)
        assert value(api, "last_backup_success", **APP) == 0
        api.stop()
        api.start()
    assert value(api, "backups_total", **APP, status="failed") == 0  # since the daemon began
    api.run()
    assert value(api, "backups_total", **APP, status="failed") == 1


def test_the_counters_of_what_the_config_names_begin_at_0(configured: Api) -> None:
    server = {"provider": "postgres", "host": "127.0.0.1", "port": 9, "user": "u", "password": "p"}
    configured.config["data_sources"] += [
        server | {"label": "Two", "databases": ["shop", "crm"]},
        server | {"label": "Whole", "databases": "all"},
    ]
    configured.config["ingest"] = {"jobs": [{"sender": "rsync", "device": "web-1", "job": "Files", "max_age": "26h"}]}
    of = {"device": "web-1", "job": "Files", "sender": "rsync"}
    configured.start()
    for status in ("finished", "failed"):
        for database in ({"source": "Two", "database": "shop"}, {"source": "Two", "database": "crm"}, APP):
            assert value(configured, "backups_total", **database, status=status) == 0
        assert value(configured, "ingested_total", **of, status=status) == 0
    assert value(configured, "stored_bytes_total", **APP) == 0
    assert value(configured, "backup_seconds_total", **APP) == 0
    assert not [name for name, labels in scraped(configured) if ("source", "Whole") in labels]
    configured.run("App")
    assert value(configured, "backups_total", **APP, status="finished") == 1
    assert value(configured, "backups_total", **APP, status="failed") == 0
    configured.config["data_sources"].pop(0)
    configured.config["jobs"] = []
    configured.stop()
    configured.start()
    assert value(configured, "backups_total", **APP, status="finished") is None


def test_a_database_that_is_new_is_counted_from_0_while_its_first_backup_is_made(api: Api) -> None:
    scraped(api)
    began = Announcement(EventKind.BACKUP_START, [])
    api.daemon.app.store.backups.begin(a_backup(source="App", database="new"), [began])
    assert value(api, "backups_total", source="App", database="new", status="failed") == 0


def test_a_drive_that_failed_alone_keeps_its_age(configured: Api) -> None:
    second = configured.folder / "second"
    configured.config["drives"].append(
        {"provider": "local", "label": "Second", "folder": str(second), "required": False}
    )
    (first,) = configured.start().run()
    second.rename(configured.folder / "moved")
    second.write_text("no folder")
    (newer,) = configured.run()
    ats = [value(configured, "newest_finished_timestamp_seconds", **APP, drive=drive) for drive in ("Disk", "Second")]
    assert ats == [
        pytest.approx(newer.created_at.timestamp(), abs=0.001),
        pytest.approx(first.created_at.timestamp(), abs=0.001),
    ]


def test_what_left_the_config_is_not_watched_any_more(configured: Api) -> None:
    configured.config["drives"].append(
        {"provider": "local", "label": "Second", "folder": str(configured.folder / "second")}
    )
    configured.start().run()
    configured.config["drives"].pop()
    configured.config["jobs"] = [{"label": "other", "every": "1h"}]
    configured.write()
    configured.daemon.reload()
    assert value(configured, "newest_finished_age_seconds", **APP, drive="Disk") is not None
    assert value(configured, "newest_finished_age_seconds", **APP, drive="Second") is None
    assert value(configured, "next_run_timestamp_seconds", job="nightly") is None
    assert value(configured, "next_run_timestamp_seconds", job="other") is not None
    configured.config["data_sources"][0]["label"] = "Renamed"
    configured.write()
    configured.daemon.reload()
    assert value(configured, "newest_finished_age_seconds", **APP, drive="Disk") is None
    configured.run()
    renamed = {"source": "Renamed", "database": "app", "drive": "Disk"}
    assert value(configured, "newest_finished_age_seconds", **renamed) is not None


def test_ingested_jobs_have_metrics_of_their_own(api: Api) -> None:
    of = {"device": "web-1", "job": 'Nightly "full"\n', "sender": "rsync"}
    ingest = api.daemon.app.store.ingest
    at = now() - timedelta(hours=2)
    for minutes, status in enumerate(("Success", "Warning", "Error")):
        told = Reported(of["device"], of["job"], at + timedelta(minutes=minutes), status, "m", of["sender"], 7.5)
        ingest.backup(told, Recipient("test-host"))
    ingest.backup(Reported("App", "app", at, "Success", "an odd name"), Recipient("test-host"))
    api.run()
    good = (at + timedelta(minutes=1)).timestamp()
    assert value(api, "ingested_newest_finished_timestamp_seconds", **of) == pytest.approx(good, abs=0.001)
    assert value(api, "ingested_newest_finished_duration_seconds", **of) == 7.5
    age = value(api, "ingested_newest_finished_age_seconds", **of)
    assert age == pytest.approx(7200 - 60, abs=30)
    assert value(api, "ingested_last_success", **of) == 0
    assert value(api, "ingested_total", **of, status="finished") == 2
    assert value(api, "ingested_total", **of, status="failed") == 1
    assert value(api, "backups_total", **APP, status="finished") == 1
    api.stop()
    api.start()
    assert value(api, "ingested_last_success", **of) == 0


def test_open_incidents_of_this_installation_are_shown(api: Api) -> None:
    at = now()
    with api.daemon.app.store._sessions.writing() as session:
        for instance in ("test-host", "another"):
            session.add(
                Incident(
                    instance=instance,
                    kind="backup_late",
                    job="nightly",
                    source="App",
                    database="app" if instance == "test-host" else "b",
                    due_at=at,
                    opened_at=at,
                    reminded_at=at,
                )
            )
    assert value(api, "incidents_open", kind="backup_late", job="nightly", **APP) == 1
    assert value(api, "incidents_open", kind="backup_late", job="nightly", source="App", database="b") is None


def test_several_who_scrape_at_once_cost_one_look(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.api.metrics._KEPT", 60.0)
    before = scraped(api)
    api.run()
    assert scraped(api) == before


def test_how_long_ago_an_endpoint_was_reached_and_by_which_drill(api: Api, receiver: Receiver) -> None:
    app, hook = api.daemon.app, {"endpoint": "webhook/Hook"}
    assert value(api, "last_delivery_age_seconds", **hook) is None
    for answer, success in ((200, 1), (404, 0)):
        receiver.at["/hook"] = Answer(answer)
        assert begin(app.config, app.store, drilled(app.config), now(), now())
        app.dispatcher.drain(timedelta(seconds=20))
        assert value(api, "alarm_drill_success", **hook) == success
        assert value(api, "last_delivery_timestamp_seconds", **hook) is not None


def test_a_sample_of_a_drill_is_no_backup(api: Api, receiver: Receiver) -> None:
    api.config["alarm_drill"] = {"cron": "@weekly", "events": ["backup_failure"]}
    api.config["notifiers"]["webhook"]["endpoints"][0]["events"] = ["backup_failure"]
    api.write()
    api.daemon.reload()
    app = api.daemon.app
    assert begin(app.config, app.store, drilled(app.config), now(), now())
    app.dispatcher.drain(timedelta(seconds=20))
    assert json.loads(receiver.requests[-1].body)["Event"] == "backup_failure"
    assert not [name for name, labels in scraped(api) if ("source", "TEST") in labels]


def test_what_failed_before_the_databases_were_known_is_no_database_once_one_was_backed_up(api: Api) -> None:
    store = api.daemon.app.store

    def ended(kind: EventKind, database: str) -> None:
        status = Status.FINISHED if kind == EventKind.BACKUP_SUCCESS else Status.FAILED
        backup = a_backup(status=status, label="App", source="App", database=database, instance="test-host")
        store.backups.begin(backup, [Announcement(kind, [])])

    ended(EventKind.BACKUP_FAILURE, "")
    assert value(api, "last_backup_success", source="App", database="") == 0
    ended(EventKind.BACKUP_SUCCESS, "shop")
    assert value(api, "last_backup_success", source="App", database="") is None
    assert value(api, "last_backup_success", source="App", database="shop") == 1
