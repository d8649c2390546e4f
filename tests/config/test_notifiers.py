"""Notifiers in a whole config: the names that jobs use, and what several sources at one endpoint come to."""

import pytest

from backupman.config import plans
from backupman.engine.alarm_drills import drilled
from tests.config.conftest import WHOLE, Load, Mistakes

NOTIFIERS = """
notifiers:
  mail:
    - {label: ops-mail, smtp_host: localhost, destinations: [{email: a@example.org}]}
    - {smtp_host: localhost, destinations: [{email: a@example.org}]}
  pagerduty: {integration_key: a177cad45bd374409f78906a810a3074}
  webhook: {endpoints: [{name: My Webhook, url: "http://localhost/"}, {name: Other, url: "http://localhost/"}]}
"""


ZABBIX = "server: 'http://localhost/', api_key: a, itemid: '1'"


@pytest.mark.parametrize(
    ("named", "endpoints"),
    [
        ("[ops-mail, pagerduty, My Webhook]", ["mail/ops-mail/a@example.org", "pagerduty", "webhook/My Webhook"]),
        ("[mail]", ["mail/ops-mail/a@example.org", "mail/a@example.org"]),
        ("[mail/a@example.org, webhook/Other]", ["mail/a@example.org", "webhook/Other"]),
        ("[]", []),
    ],
)
def test_a_job_names_those_who_are_told(loaded: Load, named: str, endpoints: list[str]) -> None:
    (plan,) = plans(loaded(f"{WHOLE}{NOTIFIERS}jobs: [{{label: nightly, notifiers: {named}}}]\n").config)
    assert [endpoint.name for endpoint in plan.endpoints] == endpoints


def test_blocks_of_one_provider_need_labels(mistakes: Mistakes) -> None:
    block = "{integration_key: a177cad45bd374409f78906a810a3074}"
    assert mistakes(f"{WHOLE}notifiers: {{pagerduty: [{block}, {block}]}}\n") == [
        "config.yml:5: notifiers: the endpoint 'pagerduty' stands there twice; give each its own name or label"
    ]


APART = "jobs: [{label: a, data_sources: [shop]}, {label: b, data_sources: [blog]}]"


@pytest.mark.parametrize(
    ("notifier", "jobs", "warns"),
    [
        ("uptime_kuma: {push_url: 'http://localhost/api/push/x'}", "", True),
        ("healthchecks: {ping_url: 'http://localhost/key/{job}'}", "", True),
        ("healthchecks: {ping_url: 'http://localhost/key/{job}'}", APART, False),
        ("uptime_kuma: {push_url: 'http://localhost/api/push/x'}", APART, True),
        ("healthchecks: {ping_url: 'http://localhost/key/{job}-{source}'}", "", False),
        ("webhook: {endpoints: [{url: 'http://localhost/'}]}", "", False),
        (
            "uptime_kuma: {push_url: 'http://localhost/api/push/x'}",
            "jobs: [{label: a, data_sources: [blog]}, {label: b, notifiers: []}]",
            False,
        ),
    ],
)
def test_a_failure_that_a_success_would_hide_is_a_warning(loaded: Load, notifier: str, jobs: str, warns: bool) -> None:
    sources = "data_sources: [{provider: sqlite, label: shop, db_path: a}, {provider: sqlite, label: blog, db_path: b}]"
    drives = "drives: [{provider: local, label: disk, folder: a}]"
    said = loaded(f"{sources}\n{drives}\nnotifiers: {{{notifier}}}\n{jobs}\n").warnings
    assert ["shows one state for 2 sources" in warning for warning in said] == [True] * warns


@pytest.mark.parametrize(
    ("notifier", "warns"),
    [
        ("healthchecks: {ping_url: 'http://localhost/key/{source}'}", True),
        ("healthchecks: {ping_url: 'http://localhost/key/{source}-{database}'}", False),
        ("healthchecks: {ping_url: 'http://localhost/key/x', states: [fail]}", False),
        (f"zabbix: {{{ZABBIX}}}", False),
        (f"zabbix: {{{ZABBIX}, states: [finish, fail]}}", True),
    ],
)
def test_so_is_one_of_a_database_among_several_of_a_source(loaded: Load, notifier: str, warns: bool) -> None:
    source = "data_sources: [{provider: postgres, label: shop, databases: all}]"
    drives = "drives: [{provider: local, label: disk, folder: a}]"
    said = loaded(f"{source}\n{drives}\nnotifiers: {{{notifier}}}\n").warnings
    assert ["shows one state for all databases of shop" in warning for warning in said] == [True] * warns


def test_an_alarm_drill_names_who_takes_part_as_jobs_do(loaded: Load, mistakes: Mistakes) -> None:
    config = loaded(f"{WHOLE}{NOTIFIERS}alarm_drill: {{cron: '@weekly', notifiers: [ops-mail, Other]}}\n").config
    assert [each.endpoint.name for each in drilled(config)] == ["mail/ops-mail/a@example.org", "webhook/Other"]
    wrong = "alarm_drill: {cron: 61 * * * *, notifiers: [ops-male], within: 0s, events: [backup_fail]}"
    found = mistakes(f"{WHOLE}{NOTIFIERS}{wrong}\n")
    assert [line.split(": ")[1] for line in found] == [
        "alarm_drill.cron",
        "alarm_drill.events[0]",
        "alarm_drill.within",
        "alarm_drill.notifiers[0]",
    ]
    assert "did you mean 'ops-mail'?" in found[-1]


SILENCE = "nobody is told when a backup is late, was missed or does not end"


def test_jobs_whose_silence_nobody_hears_are_a_warning(loaded: Load) -> None:
    def said(events: str, *jobs: str) -> list[str]:
        wanted = f"records_failure, {events}"
        told = f"notifiers: {{webhook: {{endpoints: [{{url: 'http://localhost/', events: [{wanted}]}}]}}}}"
        return loaded(f"{WHOLE}{told}\njobs: [{', '.join(jobs)}]\n").warnings

    due = [f"{{label: {name}, cron: '@daily'}}" for name in "abcdefg"]
    late = "add backup_late, backup_missed and backup_stuck to the events of a notifier"
    assert said("backup_report", *due) == [f"a, b, c, d, e and 2 more: {SILENCE}: {late}"]
    assert said("backup_late, backup_missed, backup_stuck", *due) == []
    assert said("backup_report", "{label: a, max_age: 1d}") == [f"a: {SILENCE}: {late}"]
    assert said("backup_report", "{label: a}") == [], "without a schedule nothing is late"
    assert said("backup_report", "{label: a, cron: '@daily', notifiers: []}") == [], "nobody is told on purpose"
    [wrong] = said("backup_report", "{label: a, verify: {cron: '@weekly'}}")
    assert wrong == "a: nobody is told when a copy is not right: add verify_failure to the events of a notifier"


def test_records_of_whose_failure_nobody_hears_are_a_warning(loaded: Load) -> None:
    """Everybody is told of them, whatever the jobs say, and only a daemon watches them."""

    def said(*events: str, due: str = ", cron: '@daily'", told: str = "[]") -> list[str]:
        late = "backup_late, backup_missed, backup_stuck"
        hooks = ", ".join(f"{{name: {kind}, url: 'http://localhost/', events: [{late}, {kind}]}}" for kind in events)
        jobs = f"jobs: [{{label: a{due}, notifiers: {told}}}]"
        return loaded(f"{WHOLE}notifiers: {{webhook: {{endpoints: [{hooks}]}}}}\n{jobs}\n").warnings

    nobody = "nobody is told when the records cannot be used: add records_failure to the events of a notifier"
    assert said("backup_report") == [nobody]
    assert said("backup_report", "records_failure", told="[backup_report]") == []
    assert said("backup_report", due="") == []
