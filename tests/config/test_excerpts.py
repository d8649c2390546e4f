"""What a worker is handed: all that one source needs, as the file has it, and nothing of others."""

import json
from pathlib import Path

import pytest
from tzlocal import get_localzone

from backupman.config.worker import plans_of, with_excerpt
from tests.config.conftest import DRIVES, SOURCES, WHOLE, Load
from tests.config.fleet import CONTROL, excerpt_of, handed_out, worker_at

SHOP = """
data_sources:
  - &shop {provider: postgres, label: Shop, host: db7, db_name: shop, user: b, password: "${PGPASS}", queue: db7}
  - {<<: *shop, label: Blog, db_name: blog, queue: null, scratch_server: Drills}
  - {provider: sqlite, label: Notes, db_path: "/srv/${TOWN}.sqlite"}
scratch_servers:
  - {provider: postgres, label: Drills, host: drills, user: d, password: "${DRILLS}", db_name: postgres}
  - {provider: postgres, label: Others, host: others, user: d, password: "${OTHERS}", db_name: postgres}
drives:
  - {provider: local, label: Disk, folder: /srv/backups}
  - {provider: sftp, label: Cloud, host: h, user: u, password: "${SFTP}", folder: x}
notifiers:
  webhook:
    - {endpoints: [{name: Ops, url: "${HOOK}", events: [backup_report, backup_failure]}]}
    - {label: inside, queue: dmz, endpoints: [{name: Dev, url: "${INSIDE}"}]}
  ntfy: {queue: dmz, topic: backups, server: "https://ntfy.example.com"}
retention: {value: 30}
hooks: {before_backup: "ping ${PAGER}"}
on_error: "page ${PAGER}"
deliveries: {max_wait: 2h}
http: {api_keys: ["${API_KEY}"]}
jobs:
  - {label: nightly, cron: "0 2 * * *", drives: [Disk], data_sources: [Shop, Blog], queue: db8, notifiers: [Ops]}
  - {label: hourly, every: 1h, timezone: Asia/Tokyo, max_parallel_uploads: 1, verify: {cron: "@weekly", queue: proofs}}
"""
VARIABLES = ["PGPASS", "TOWN", "DRILLS", "OTHERS", "SFTP", "PAGER", "API_KEY"]


@pytest.fixture(autouse=True)
def on_the_control_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, f"S3cret-{name.lower()}")
    for name in ("HOOK", "INSIDE"):
        monkeypatch.setenv(name, f"https://hooks.example.com/S3cret-{name.lower()}")


def test_a_source_goes_with_what_its_job_names_and_as_the_file_has_it(loaded: Load) -> None:
    excerpt = excerpt_of(loaded, SHOP, "Blog")
    assert excerpt["config"]["data_sources"] == [
        {
            "provider": "postgres",
            "label": "Blog",
            "host": "db7",
            "db_name": "blog",
            "user": "b",
            "password": "${PGPASS}",
            "scratch_server": "Drills",
        }
    ]
    assert [drive["label"] for drive in excerpt["config"]["drives"]] == ["Disk"]
    [server] = excerpt["config"]["scratch_servers"]
    assert (server["label"], server["password"]) == ("Drills", "${DRILLS}")
    [job] = excerpt["config"]["jobs"]
    assert (job["label"], job["data_sources"], job["drives"], job["notifiers"]) == ("nightly", ["Blog"], ["Disk"], [])
    assert excerpt["config"]["hooks"] == {"before_backup": "ping ${PAGER}"}
    assert excerpt["config"]["on_error"] == "page ${PAGER}"
    assert excerpt["told"] == {"webhook/Ops": ["backup_report", "backup_failure"]}
    assert not {"http", "notifiers", "database", "executor", "instance"} & excerpt["config"].keys()


def test_no_excerpt_holds_what_a_reference_led_to(loaded: Load) -> None:
    _, jobs, made = handed_out(loaded, SHOP)
    handed = [made.of_source(plan, source) for plan in jobs for source in plan.sources]
    text = json.dumps([*handed, made.of_notifiers("dmz")])
    assert len(handed) == 5
    assert "S3cret" not in text
    assert "${API_KEY}" not in text
    assert {f"${{{name}}}" in text for name in ("PGPASS", "TOWN", "DRILLS", "SFTP", "PAGER", "INSIDE")} == {True}


def test_queues_of_sources_jobs_proofs_and_endpoints(loaded: Load) -> None:
    config, (nightly, hourly), _ = handed_out(loaded, SHOP)
    assert [nightly.queue_of(source) for source in nightly.sources] == ["db7", "db8"]
    assert [hourly.queue_of(source) for source in hourly.sources] == ["db7", "any", "any"]
    assert [nightly.verify_queue_of(source) for source in nightly.sources] == ["db7", "db8"]
    assert {hourly.verify_queue_of(source) for source in hourly.sources} == {"proofs"}
    assert config.queue_of_endpoint("webhook/Ops") is None
    assert config.queue_of_endpoint("webhook/inside/Dev") == "dmz"
    assert config.queue_of_endpoint("nobody") is None


def test_proofs_of_all_jobs_can_have_a_queue(loaded: Load) -> None:
    text = WHOLE + "verify: {queue: proofs}\njobs: [{label: a}, {label: b, verify: {level: restore}}]\n"
    _, jobs, _ = handed_out(loaded, text)
    assert {plan.verify_queue_of(source) for plan in jobs for source in plan.sources} == {"proofs"}


def test_a_worker_has_the_job_as_it_is_on_the_control_host(loaded: Load, tmp_path: Path) -> None:
    _, (_, hourly), made = handed_out(loaded, SHOP)
    worker = worker_at(tmp_path, "spool: {keep: 5d}\n")
    for source in hourly.sources:
        excerpt = json.loads(json.dumps(made.of_source(hourly, source)))
        config = with_excerpt(worker, excerpt)
        [plan] = plans_of(config, excerpt)
        assert plan.sources == [source]
        assert plan.drives == hourly.drives
        of_job = ("label", "zone", "pipeline", "retention", "hooks", "verify", "queue", "max_parallel_uploads")
        assert [getattr(plan, name) for name in of_job] == [getattr(hourly, name) for name in of_job]
        assert plan.wanting("backup_report") == hourly.wanting("backup_report")  # type: ignore[arg-type]  # as JSON has it
        assert config.on_error == ["page S3cret-pager"]
        assert config.redact("page S3cret-pager") == "page ***"


def test_the_messages_of_a_queue_go_with_its_notifiers_alone(loaded: Load, tmp_path: Path) -> None:
    config, _, made = handed_out(loaded, SHOP)
    excerpt = json.loads(json.dumps(made.of_notifiers("dmz")))
    assert excerpt["config"]["deliveries"] == {"max_wait": "2h"}
    there = with_excerpt(worker_at(tmp_path), excerpt)
    assert there.notifiers == {"webhook": config.notifiers["webhook"][1:], "ntfy": config.notifiers["ntfy"]}
    assert (there.data_sources, there.drives, plans_of(there, excerpt)[0].sources) == ([], [], [])
    assert made.of_notifiers("nobody")["config"]["notifiers"] == {}


def test_without_jobs_there_is_one_of_all_drives(loaded: Load, tmp_path: Path) -> None:
    more = "  - {provider: local, label: other, folder: more}\n"
    backup_job = "http: {backup_job: {enabled: true, cron: '0 3 * * *'}}\n"
    excerpt = excerpt_of(loaded, WHOLE + more + backup_job, "shop")
    config = with_excerpt(worker_at(tmp_path), excerpt)
    [plan] = plans_of(config, excerpt)
    assert (plan.label, [drive.label for drive in plan.drives]) == ("default", ["disk", "other"])


def test_labels_are_those_of_the_control_host(loaded: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOWN", "Paris ${x} $${y}")
    text = """
data_sources: [{provider: postgres, label: "S ${TOWN}", host: h, db_name: d, user: u, scratch_server: "D ${TOWN}"}]
scratch_servers: [{provider: postgres, label: "D ${TOWN}", host: h, db_name: d, user: u}]
drives: [{provider: local, label: "L ${TOWN}", folder: x}]
notifiers: {webhook: {label: "N ${TOWN}", queue: dmz, endpoints: [{name: Ops, url: "https://h"}]}}
jobs: [{label: "J ${TOWN}", data_sources: ["S ${TOWN}"], drives: ["L ${TOWN}"]}]
"""
    config, (plan,), made = handed_out(loaded, text)
    excerpt, messages = made.of_source(plan, config.data_sources[0]), made.of_notifiers("dmz")
    monkeypatch.setenv("TOWN", "Rome")
    worker = worker_at(tmp_path)
    there = with_excerpt(worker, excerpt)
    found = [there.data_sources[0].label, there.scratch_servers[0].label, there.drives[0].label, there.jobs[0].label]
    assert found == [f"{letter} Paris ${{x}} $${{y}}" for letter in "SDLJ"]
    assert there.data_sources[0].scratch_server == there.scratch_servers[0].label
    assert with_excerpt(worker, messages).notifiers["webhook"][0].label == "N Paris ${x} $${y}"


def test_a_job_has_the_zone_of_the_control_host(loaded: Load) -> None:
    excerpt = excerpt_of(loaded, WHOLE + "jobs: [{label: a, cron: '0 2 * * *'}]\n", "shop")
    assert excerpt["config"]["jobs"][0]["timezone"] == str(get_localzone())


def test_what_was_merged_in_goes_along(loaded: Load) -> None:
    text = """
data_sources:
  - &one {provider: sqlite, label: a, db_path: /srv/a, manifest: &rows {rows: none}, timeout: "${TIMEOUT:-1h}"}
  - {<<: [*one, {queue: q}], label: b}
drives: [{provider: local, label: disk, folder: x}]
"""
    assert excerpt_of(loaded, text, "b")["config"]["data_sources"] == [
        {
            "provider": "sqlite",
            "label": "b",
            "db_path": "/srv/a",
            "manifest": {"rows": "none"},
            "timeout": "${TIMEOUT:-1h}",
            "queue": "q",
        }
    ]


@pytest.mark.parametrize("name", ["any", "DB7", "a b", "x" * 61, "ä"])
def test_a_queue_has_a_plain_name(loaded: Load, name: str) -> None:
    with pytest.raises(Exception, match=r"jobs\[0\].queue: should be a(nother)? name"):
        loaded(SOURCES + DRIVES + f"jobs: [{{label: a, queue: '{name}'}}]\n")


def test_a_queue_without_workers_is_a_warning(loaded: Load) -> None:
    text = SHOP.replace("queue: null, ", "")
    assert loaded(text).warnings[-1] == (
        "Shop, Blog, nightly, verify of hourly, webhook/inside and 1 more: queue means nothing without workers: they "
        "need executor: procrastinate"
    )
    assert loaded(WHOLE).warnings == []


def test_copies_that_would_lie_on_any_host_are_a_warning(loaded: Load) -> None:
    [warning] = loaded(CONTROL + WHOLE).warnings
    assert warning == (
        "disk: a local drive is another folder on each host, and any worker backs up shop: give them the queue of one "
        "host, or mount the same folder on all"
    )
    assert loaded(CONTROL + WHOLE + "jobs: [{label: a, queue: db7}]\n").warnings == []
