"""`doctor`: what would keep a backup from being made, kept, restored or told of is found, each with what to do."""

import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman import __version__
from backupman.config import Config
from backupman.engine import doctor as engine
from backupman.engine.locks import daemon_lock
from backupman.store import Store
from tests.cli.conftest import Inside
from tests.e2e.world import World
from tests.engine._fleet import Fleet, fleet, shared_records
from tests.servers.postgres import Postgres

__all__ = ["fleet", "shared_records"]


HEARD = ["backup_report", "backup_late", "backup_missed", "backup_stuck", "records_failure"]


@pytest.fixture(autouse=True)
def synchronized(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is right, whatever the one of the tests says."""
    monkeypatch.setattr(engine, "_is_synchronized", lambda: True)


@pytest.fixture
def cared_for(world: World) -> World:
    """A world in which nothing is left to wish for, but for a second place."""
    world.config["jobs"] = [{"label": "nightly", "cron": "@daily", "retention": {"keep_last": 3}}]
    world.config["notifiers"]["webhook"]["endpoints"][0]["events"] = HEARD
    write(world)
    return world


def write(world: World) -> None:
    """Write the config as it is now."""
    world.config_file.write_text(yaml.safe_dump(world.config))


def config_of(world: World) -> Config:
    """The config, loaded."""
    from backupman.config import load

    return load(world.config_file).config


def findings(inside: Inside, severity: str) -> list[tuple[str, str, str]]:
    """Area, about and sentence of the findings of a severity."""
    document = json.loads(inside("doctor", "--json").out)
    found = [each for each in document["Findings"] if each["Severity"] == severity]
    return [(each["Area"], each["About"], each["Sentence"]) for each in found]


def test_where_all_is_well_it_says_so(cared_for: World, inside: Inside) -> None:
    assert inside("run").code == 0
    assert inside("verify", "latest", "--level", "restore").code == 0
    lock = daemon_lock(cared_for.folder / "state")
    try:
        ended = inside("doctor")
        assert ended.code == 0, ended.out
        assert "✗" not in ended.out
        assert "App: it can be dumped whole" in ended.out
        assert "nightly: runs next on " in ended.out
        assert ended.out.splitlines()[-1] == "✓ Nothing is wrong; 1 piece of advice."
        assert findings(inside, "problem") == []
        [(area, about, sentence)] = findings(inside, "advice")
        assert (area, about) == ("keeping", "nightly")
        assert "on this machine alone (Disk)" in sentence
        assert inside("doctor", "-q").out == ""
    finally:
        os.close(lock)


def test_what_is_wrong_is_a_problem_and_ends_with_1(cared_for: World, inside: Inside) -> None:
    gone = {"provider": "sqlite", "label": "Gone", "db_path": "gone.db"}
    cared_for.config["data_sources"].append(gone)
    cared_for.config["jobs"][0] |= {"data_sources": ["App"], "notifiers": []}
    (cared_for.folder / "blocked").write_text("")
    cared_for.config["drives"].append({"provider": "local", "label": "Blocked", "folder": "blocked"})
    write(cared_for)
    ended = inside("doctor")
    assert ended.code == 1
    assert "problems" in ended.out.splitlines()[-1]
    problems = {(area, about): sentence for area, about, sentence in findings(inside, "problem")}
    assert problems.keys() == {
        ("sources", "Gone"),
        ("drives", "Blocked"),
        ("jobs", ""),
        ("jobs", "Gone"),
        ("alarms", "nightly"),
    }
    assert "gone.db does not exist: correct db_path" in problems["sources", "Gone"]
    assert "no daemon serves from" in problems["jobs", ""]
    assert "never backed up" in problems["jobs", "Gone"]
    assert "nobody is told when its backups fail" in problems["alarms", "nightly"]
    assert inside("doctor", "-q").out == "" and "Gone" in inside("doctor", "-q").err


def test_nobody_told_nothing_scheduled_and_nothing_removed(world: World, inside: Inside) -> None:
    del world.config["notifiers"]
    write(world)
    assert ("alarms", "", "nobody is told of anything: add a notifier, for example mail") in findings(inside, "problem")
    advised = {area: sentence for area, _, sentence in findings(inside, "advice") if area in ("jobs", "proofs")}
    assert "no job has a cron or an interval" in advised["jobs"]
    assert "never backed up here" in advised["proofs"]
    assert any("nothing that default puts there is ever removed" in each[2] for each in findings(inside, "advice"))


def test_what_nobody_is_told_of_beside_failures_is_advice(cared_for: World, inside: Inside) -> None:
    def unheard(*events: str) -> list[str]:
        cared_for.config["notifiers"]["webhook"]["endpoints"][0]["events"] = list(events)
        write(cared_for)
        said = [each[2] for each in findings(inside, "advice") if each[0] == "config"]
        return [sentence.removeprefix("nightly: nobody is told when ") for sentence in said]

    assert unheard(*HEARD) == []
    [said] = unheard("backup_report", "backup_late", "records_failure")
    assert said.startswith("a backup is late, was missed or does not end: add backup_missed and backup_stuck to the")
    cared_for.config["jobs"][0]["verify"] = {"cron": "@weekly"}
    [said] = unheard(*HEARD)
    assert said == "a copy is not right: add verify_failure to the events of a notifier"
    [late, wrong, records] = unheard("backup_report")
    assert "add backup_late, backup_missed and backup_stuck to" in late and "add verify_failure to" in wrong
    assert records == "nobody is told when the records cannot be used: add records_failure to the events of a notifier"


def test_databases_that_no_source_names_are_advice(cared_for: World, inside: Inside, postgres: Postgres) -> None:
    names = [f"{letter}_doctor" for letter in "abc"]  # the first of many on a server that others use too

    def said(*sources: dict[str, Any]) -> list[tuple[str, str]]:
        login = {"provider": "postgres", "host": postgres.host, "port": postgres.port, "user": postgres.user}
        login["password"] = postgres.password
        cared_for.config["data_sources"] = [
            {**login, "label": label, **source} for label, source in zip("XY", sources, strict=False)
        ]
        write(cared_for)
        found = [each[1:] for each in findings(inside, "advice") if each[0] == "sources"]
        return [(label, sentence) for label, sentence in found if "which no source names" in sentence]

    for name in names:
        postgres.create_database(name)
    try:
        [(label, sentence)] = said({"db_name": names[0]}, {"databases": [names[2]], "host": "localhost"})
        assert label == "X", "the first of two that are on one server"
        assert sentence.startswith(f"its server has {names[1]}")
        assert names[0] not in sentence and names[2] not in sentence
        assert said({"db_name": names[0]}, {"databases": "all", "role_passwords": False}) == []
    finally:
        for name in names:
            postgres.drop_database(name)


def test_a_recipients_file_that_cannot_be_read_is_a_problem(cared_for: World, inside: Inside) -> None:
    file = cared_for.folder / "recipients.txt"
    cared_for.config["pipeline"] = {"encryption": {"recipients_file": str(file)}}
    write(cared_for)
    assert inside("run").code == 1
    said = "none of its backups can be encrypted, so each fails: recipients_file "
    assert ("jobs", "nightly", f"{said}{file} cannot be read: No such file or directory") in findings(inside, "problem")


def test_alarms_that_did_not_arrive_are_a_problem(cared_for: World, inside: Inside) -> None:
    cared_for.receiver.answer(400)
    inside("run", "--drain-timeout", "20s")
    said = {each[1]: each[2] for each in findings(inside, "problem") if each[0] == "alarms"}
    assert "were given up: see `backupman deliveries list --state failed`" in said["webhook/Hook"]


def test_a_disk_without_room_for_a_dump_like_the_last(
    cared_for: World, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(cared_for.folder / "app.db") as database:
        database.execute("CREATE TABLE big AS SELECT randomblob(200000) AS data")
    database.close()
    assert inside("run").code == 0
    for free, severity in ((100_000, "problem"), (300_000, "advice")):
        usage = type("Usage", (), {"free": free + 2**20, "total": 10**12})()
        monkeypatch.setattr("backupman.engine.doctor.shutil.disk_usage", lambda _, usage=usage: usage)
        assert [each[0] for each in findings(inside, severity)].count("disk") == 1


def test_a_full_disk_is_told_before_the_first_dump(
    cared_for: World, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 2**19, "total": 10**12})()
    monkeypatch.setattr("backupman.engine.doctor.shutil.disk_usage", lambda _: usage)
    [said] = [each[2] for each in findings(inside, "problem") if each[0] == "disk"]
    assert said.startswith("no dump fits: 512 KiB are free, and spool.min_free keeps 1.0 MiB free; make room there")


def test_a_clock_that_went_back_and_one_that_nobody_sets(
    cared_for: World, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inside("run").code == 0
    monkeypatch.setattr(engine, "_is_synchronized", lambda: False)
    assert "clock" in {each[0] for each in findings(inside, "advice")}
    (backup,) = cared_for.backups()
    with_store = Store.open(config_of(cared_for).database.address(cared_for.folder / "state"))
    with_store.backups.change(backup["Id"], created_at=datetime.now(UTC) + timedelta(hours=5))
    with_store.close()
    assert "which is still to come" in {each[0]: each[2] for each in findings(inside, "problem")}["clock"]


def test_a_queue_that_no_worker_takes_from(cared_for: World, inside: Inside, fleet: Fleet) -> None:
    app = cared_for.config["data_sources"][0]
    more = [app | {"label": f"App {number}", "queue": "db7"} for number in range(7)]
    cared_for.config |= fleet.sections | {"data_sources": [app, *more]}
    cared_for.config["jobs"][0]["verify"] = {"cron": "@weekly", "queue": "proofs"}
    mail = {"smtp_host": "127.0.0.1", "destinations": [{"email": "ops@example.com"}], "queue": "dmz"}
    cared_for.config["notifiers"]["mail"] = mail
    write(cared_for)
    fleet.worker("db-8", "db8", "proofs", lives=False)
    fleet.worker("db-9", takes_any=True)
    said = {each[1]: each[2] for each in findings(inside, "problem") if each[0] == "workers"}
    assert said == {
        "db7": "no living worker takes from this queue, so nobody does what waits in it for App 0, App 1, App 2, "
        "App 3, App 4 and 2 more: start one with `backupman worker --queue db7`",
        "proofs": said["proofs"],
        "dmz": "no living worker takes from this queue, so nobody does what waits in it for messages of mail: start "
        "one with `backupman worker --queue dmz`",
    }
    advised = {each[1]: each[2] for each in findings(inside, "advice") if each[0] == "workers"}
    assert "nobody has stopped it: look at its host" in advised["db-8"]
    assert advised["db-9"].startswith(f"it runs Backupman 1.2.3, and this host {__version__}: upgrade both")
    assert ("workers", "any", "db-9 takes from this queue") in findings(inside, "good")


def test_records_that_cannot_be_used_hide_nothing_else(cared_for: World, inside: Inside) -> None:
    cared_for.config["state_folder"] = str(cared_for.config_file)
    write(cared_for)
    areas = {each[0] for each in findings(inside, "problem")}
    assert "records" in areas
    assert {each[0] for each in findings(inside, "good")} >= {"sources", "drives"}


def test_every_area_is_listed_in_the_order_of_the_table(cared_for: World, inside: Inside) -> None:
    from backupman.engine.findings import AREAS

    document: dict[str, Any] = json.loads(inside("doctor", "--json").out)
    areas = list(dict.fromkeys(each["Area"] for each in document["Findings"]))
    assert areas == [area for area in AREAS if area in areas]
    assert Path(next(each["About"] for each in document["Findings"] if each["Area"] == "disk")).name == "spool"
