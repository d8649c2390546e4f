"""PagerDuty: alerts that a success resolves, by keys that tell apart what has failed; within the limits of the API."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from backupman.notifiers import Message
from backupman.notifiers.pagerduty import PagerDuty, dedup_key
from tests.contracts.notifier import EVENTS, ODD_TEXTS, HttpNotifierContract, message
from tests.servers.receiver import Answer, Receiver

KEY = "a177cad45bd374409f78906a810a3074"


def sent(event: Message, **settings: Any) -> dict[str, Any]:
    request = PagerDuty.model_validate({"integration_key": KEY, **settings}).request(event)
    assert request and request.method == "POST"
    assert str(request.url) == "https://events.pagerduty.com/v2/enqueue"
    assert request.headers["Content-Type"] == "application/json"
    assert len(request.content) <= 512_000
    body: dict[str, Any] = json.loads(request.content)
    assert_takes(body)
    return body


def assert_takes(event: dict[str, Any]) -> None:
    """The rules of the Events API v2, from its reference."""
    assert event.keys() <= {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links"}
    assert len(event["routing_key"]) == 32
    assert event["event_action"] in ("trigger", "acknowledge", "resolve")
    assert 0 < len(event["dedup_key"]) <= 255
    if event["event_action"] != "trigger":
        assert "payload" not in event
        return
    payload = event["payload"]
    assert payload.keys() <= {
        *("summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details")
    }
    assert 0 < len(payload["summary"]) <= 1024
    assert payload["source"]
    assert payload["severity"] in ("critical", "error", "warning", "info")


class TestPagerDuty(HttpNotifierContract):
    notifier_class = PagerDuty
    good = Answer(202, body=b'{"status":"success","message":"Event processed","dedup_key":"k"}')
    delivered = frozenset({202})
    silent = frozenset({"backup_start", "restore_start"})
    wordless = frozenset(
        {
            *("backup_report", "backup_success", "backup_recovered", "alarm_drill_recovered", "queue_recovered"),
            "records_recovered",
            "prune_report",  # of which nothing has failed
        }
    )

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {"integration_key": KEY, "server": receiver.url, "events": EVENTS, "timeout": timeout}


def test_a_failure_triggers() -> None:
    event = sent(message("backup_failure"))
    details = event["payload"].pop("custom_details")
    assert event == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "backupman:db1/nightly/Mysql 1/shop",
        "client": "Backupman",
        # As borgmatic fills them: group, class and severity.
        "payload": {
            "summary": "Backup of Mysql 1 failed",
            "source": "db1",
            "severity": "error",
            "timestamp": "2025-07-02T10:05:00Z",
            "component": "Mysql 1",
            "group": "backups",
            "class": "backup failure",
        },
    }
    assert "quota exceeded" in details["text"]
    assert (details["Job"], details["Size"], details["Database"]) == ("nightly", 1_503_238_553, "shop")


def test_the_next_success_of_the_same_database_resolves() -> None:
    failed, good = sent(message("backup_failure")), sent(message("backup_success"))
    assert good == {"routing_key": KEY, "event_action": "resolve", "dedup_key": failed["dedup_key"]}
    for other in ({"Database": "blog"}, {"Source": "Mysql 2"}, {"Job": "weekly"}, {"Instance": "db2"}):
        assert dedup_key(message("backup_success", **other)) != failed["dedup_key"]


def test_a_good_backup_of_a_database_resolves_also_what_failed_before_any_was_known(receiver: Receiver) -> None:
    receiver.usual = TestPagerDuty.good
    failed = sent(message("backup_failure", Label="Mysql 1", Database=""))
    (endpoint,) = PagerDuty.model_validate({"integration_key": KEY, "server": receiver.url}).endpoints()
    asyncio.run(endpoint.send(message("backup_success", Label="Mysql 1/shop")))
    told = [json.loads(request.body) for request in receiver.requests]
    assert [event["dedup_key"] for event in told] == [failed["dedup_key"], "backupman:db1/nightly/Mysql 1/shop"]
    assert {event["event_action"] for event in told} == {"resolve"}


@pytest.mark.parametrize("kind", ["backup_late", "backup_missed", "backup_stuck", "size_anomaly"])
def test_the_recovery_of_an_incident_resolves_it_whichever_databases_it_names(kind: str) -> None:
    told = sent(message(kind, Database=None, Databases=["a", "b"]))
    over = sent(message("backup_recovered", Incident=kind, Database="a"))
    assert (told["event_action"], over["event_action"]) == ("trigger", "resolve")
    assert told["dedup_key"] == over["dedup_key"] != dedup_key(message("backup_failure"))


def test_what_takes_the_place_of_a_late_backup_joins_its_alert() -> None:
    told = [sent(message(kind))["dedup_key"] for kind in ("backup_late", "backup_missed", "backup_stuck")]
    assert set(told) == {"backupman:db1/nightly/Mysql 1/backup_late"}
    assert sent(message("backup_recovered", Incident="backup_stuck"))["dedup_key"] == told[0]
    assert sent(message("size_anomaly"))["dedup_key"] == "backupman:db1/nightly/Mysql 1/size_anomaly"


def test_a_severity_is_what_the_config_or_the_event_says() -> None:
    assert sent(message("backup_failure"), severity="critical")["payload"]["severity"] == "critical"
    assert sent(message("size_anomaly"), severity="critical")["payload"]["severity"] == "warning"
    assert sent(message("notification", Severity="info"))["payload"]["severity"] == "info"


@pytest.mark.parametrize("odd", ODD_TEXTS)
@pytest.mark.parametrize(
    "kind", [kind for kind in EVENTS if kind not in TestPagerDuty.silent and kind != "alarm_drill"]
)
def test_any_text_is_within_the_limits(kind: str, odd: str) -> None:
    sent(replace(message(kind, ODD_TEXTS[odd]), log=[ODD_TEXTS[odd]] * 100))


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_a_drill_is_a_change_event_which_calls_nobody(odd: str) -> None:
    request = PagerDuty.model_validate({"integration_key": KEY}).request(message("alarm_drill", ODD_TEXTS[odd]))
    assert request and str(request.url) == "https://events.pagerduty.com/v2/change/enqueue"
    event = json.loads(request.content)
    assert event.keys() == {"routing_key", "payload"}
    payload = event["payload"]
    assert payload.keys() == {"summary", "source", "timestamp", "custom_details"}
    assert payload["summary"].startswith("DRILL, no alarm: Mysql 1")
    assert len(payload["summary"]) <= 1024


def test_a_channel_that_was_not_reached_is_a_warning_until_it_is() -> None:
    told, over = sent(message("alarm_drill_failure")), sent(message("alarm_drill_recovered"))
    assert (told["payload"]["severity"], over["event_action"]) == ("warning", "resolve")
    assert told["dedup_key"] == over["dedup_key"] == "backupman:db1/alarm drill/webhook/Ops"
    assert told["dedup_key"] != sent(message("alarm_drill_failure", Endpoint="mail"))["dedup_key"]


def test_records_that_cannot_be_used_are_an_alert_until_they_can_be() -> None:
    told, over = sent(message("records_failure")), sent(message("records_recovered"))
    assert (told["event_action"], over["event_action"]) == ("trigger", "resolve")
    assert told["dedup_key"] == over["dedup_key"] == "backupman:db1/records_failure"


def test_a_queue_that_nobody_takes_from_is_an_alert_of_its_own_until_it_is_over() -> None:
    told, over = sent(message("queue_unattended")), sent(message("queue_recovered"))
    assert (told["event_action"], over["event_action"]) == ("trigger", "resolve")
    assert told["dedup_key"] == over["dedup_key"] == "backupman:db1/Mysql 1/queue_unattended"
    assert told["dedup_key"] != sent(message("queue_unattended", Queue="db8"))["dedup_key"]


def test_the_log_goes_along_unless_it_shall_not() -> None:
    run = replace(message("backup_failure"), log=["dumping", "failed"])
    assert sent(run)["payload"]["custom_details"]["log"] == "dumping\nfailed"
    assert "log" not in sent(run, send_logs=False)["payload"]["custom_details"]


def test_what_is_sent_by_default() -> None:
    assert PagerDuty.model_validate({"integration_key": KEY}).kinds == [
        "backup_failure",
        "backup_late",
        "backup_missed",
        "verify_failure",
        "backup_success",
        "backup_recovered",
        "verify_success",
    ]


def test_restores_have_an_alert_of_their_own() -> None:
    failed, good = sent(message("restore_failure")), sent(message("restore_success", Target="another place"))
    assert (failed["event_action"], good["event_action"]) == ("trigger", "resolve")
    assert failed["dedup_key"] == good["dedup_key"] != dedup_key(message("backup_failure"))


def test_a_bad_copy_is_an_alert_that_only_a_look_as_deep_resolves() -> None:
    failed, good = sent(message("verify_failure", Level="restore")), sent(message("verify_success", Level="restore"))
    assert (failed["event_action"], good["event_action"]) == ("trigger", "resolve")
    assert failed["dedup_key"] == good["dedup_key"] == "backupman:db1/nightly/Mysql 1/verify/restore"
    others = [message(kind) for kind in ("verify_success", "backup_success", "prune_report", "restore_success")]
    others.append(message("verify_success", Level="restore", Source="Mysql 2"))
    assert failed["dedup_key"] not in [dedup_key(other) for other in others]
    assert failed["payload"]["custom_details"]["Bad"] == 1


def test_that_other_copies_are_right_resolves_no_bad_one() -> None:
    assert PagerDuty.model_validate({"integration_key": KEY}).request(message("verify_success", StillBad=1)) is None
    assert sent(message("verify_success", StillBad=0))["event_action"] == "resolve"


@pytest.mark.parametrize(
    ("kind", "key", "severity"),
    [
        ("prune_report", "backupman:db1/nightly/Mysql 1/prune_report", "warning"),
        ("reconcile_report", "backupman:db1/reconcile/Mysql 1/reconcile_report", "error"),
    ],
)
def test_what_could_not_be_removed_or_mended_is_an_alert_until_it_was(kind: str, key: str, severity: str) -> None:
    told, over = sent(message(kind, Failed=1)), sent(message(kind, Failed=0))
    assert (told["event_action"], told["payload"]["severity"], over["event_action"]) == ("trigger", severity, "resolve")
    assert told["dedup_key"] == over["dedup_key"] == key
    assert dedup_key(message("reconcile_report", Drive="Disk")) != dedup_key(message("reconcile_report"))
