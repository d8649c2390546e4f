"""What all notifiers have in common: who is told of what, by which name a job means them, and what an event says."""

from typing import Any

import pytest
from pydantic import ValidationError

from backupman.events import EventKind
from backupman.notifiers import PerState, State
from backupman.notifiers.mail import Destination, Mail
from backupman.notifiers.webhook import Webhook
from tests.contracts.messages import message

HOOK = {"name": "Ops", "url": "http://localhost/"}


def webhook(**block: Any) -> Webhook:
    return Webhook.model_validate({"endpoints": [HOOK], **block})


def test_states_are_events_said_shorter() -> None:
    assert webhook(states=["start", "finish"]).kinds == ["backup_start", "backup_success"]
    assert webhook(states=["fail"]).kinds == ["backup_failure", "backup_late", "backup_missed", "verify_failure"]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"states": ["fail"], "events": ["backup_failure"]}, "either events or states"),
        ({"states": []}, "at least 1"),
        ({"states": ["log"]}, "start.*finish.*fail"),
        ({"events": []}, "at least 1"),
        ({"label": ""}, "at least 1"),
        ({"label": "a\nb"}, "line break"),
        ({"label": "x" * 41}, "at most 40"),
    ],
)
def test_what_cannot_be_meant_is_refused(block: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        webhook(**block)


def test_an_endpoint_without_events_takes_those_of_its_block() -> None:
    own = {**HOOK, "name": "Own", "states": ["start"]}
    first, second = webhook(endpoints=[HOOK, own], events=["backup_failure"]).endpoints()
    assert (list(first.events), list(second.events)) == (["backup_failure"], ["backup_start"])


def test_a_job_can_mean_an_endpoint_by_any_of_its_names() -> None:
    (endpoint,) = webhook().endpoints()
    assert webhook().names_of(endpoint) == ["webhook", "webhook/Ops", "Ops"]
    labelled = webhook(label="night shift")
    (endpoint,) = labelled.endpoints()
    assert labelled.names_of(endpoint) == ["webhook", "night shift", "webhook/night shift/Ops", "Ops"]


def test_two_blocks_may_mail_to_one_address() -> None:
    block = {"smtp_host": "localhost", "destinations": [Destination(email="a@example.org")]}
    names = [Mail.model_validate({**block, **more}).endpoints()[0].name for more in ({}, {"label": "nights"})]
    assert names == ["mail/a@example.org", "mail/nights/a@example.org"]


def test_what_an_event_says() -> None:
    said = {
        "backup_start": State.START,
        "backup_report": State.FINISH,
        "backup_success": State.FINISH,
        "backup_failure": State.FAIL,
        "backup_late": State.FAIL,
        "backup_missed": State.FAIL,
        "backup_stuck": State.FAIL,
        "backup_recovered": State.FINISH,
        "size_anomaly": State.FAIL,
        "notification": State.FAIL,
        "prune_report": State.LOG,
        "reconcile_report": State.FAIL,
        "verify_success": State.FINISH,
        "verify_failure": State.FAIL,
    }
    assert {kind: message(kind).state for kind in said} == said


def test_that_other_copies_are_right_is_no_success_while_one_is_known_to_be_bad() -> None:
    assert message("verify_success", StillBad=1).state == State.LOG


@pytest.mark.parametrize("kind", [EventKind.PRUNE_REPORT, EventKind.RECONCILE_REPORT])
def test_a_report_of_housekeeping_is_a_failure_where_something_could_not_be_done(kind: EventKind) -> None:
    assert message(kind, Failed=1).state == State.FAIL
    assert message(kind, Failed=0).state == State.LOG, "what was mended is none"
    assert message(kind, Failed=0, Error="Offsite: unreachable").state == State.FAIL


def test_a_report_says_what_its_backup_says_and_a_notification_what_its_severity_says() -> None:
    assert message(EventKind.BACKUP_REPORT, Status="failed").state == State.FAIL
    assert message(EventKind.NOTIFICATION, Severity="warning").state == State.LOG


def test_each_state_may_have_a_block_of_its_own() -> None:
    words = PerState[Destination].model_validate({"fail": {"email": "a@example.org"}})
    assert words.block_of(message(EventKind.BACKUP_LATE)) == Destination(email="a@example.org")
    assert words.block_of(message(EventKind.BACKUP_SUCCESS)) is None
    assert words.block_of(message(EventKind.NOTIFICATION, Severity="info")) is None
