"""The bodies of webhooks in the words of other programs and of users: whole, signed, and JSON whatever is in them."""

import hashlib
import hmac
import json
import subprocess
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from backupman.errors import NotifyError
from backupman.notifiers.webhook import Webhook
from tests.contracts.notifier import EVENTS, ODD_TEXTS, message


def request_of(
    kind: str, text: str = "", /, payload: dict[str, Any] | None = None, **settings: Any
) -> httpx.Request | None:
    block = {"endpoints": [{"name": "x", "url": "https://example.com/hook", **settings}]}
    return Webhook.model_validate(block).endpoints()[0].request(message(kind, text, **payload or {}))


def body(kind: str, text: str = "", /, **settings: Any) -> dict[str, Any]:
    request = request_of(kind, text, **settings)
    assert request
    assert request.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(request.content)
    return found


def test_prime_backup_of_a_success() -> None:
    found = body("backup_success", format="prime")
    assert found.pop("body") == found.pop("desp")
    assert found.pop("plugin")["id"] == "backupman"
    assert found == {
        "event": "backup_success",
        "task": "backup",
        "status": "success",
        "timestamp": {"unix": 1751450700.0, "iso": "2025-07-02T10:05:00Z"},
        "server": {"running": None},
        "backup": {
            "id": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
            "date": "2025-07-02T10:00:00Z",
            "comment": "before the upgrade",
            "targets": ["Mysql 1", "shop"],
            "tags": {"env": "production"},
            "raw_size": 1_503_238_553,
            "stored_size": 45_000_000,
        },
        "operator": {"type": "backupman", "name": "schedule", "full": "backupman:schedule"},
        "source": {"type": "command_source", "name": "db1"},
        "cost_s": 300.0,
        "message": "Mysql 1 is stored on My Google Drive.",
        "title": "Backup of Mysql 1 finished",
    }


def test_prime_backup_of_a_failure_and_of_a_start() -> None:
    failed = body("backup_report", format="prime", payload={"Status": "failed", "Error": "disk full"})
    assert (failed["event"], failed["status"]) == ("backup_failure", "failure")
    assert failed["error"] == {"type": "BackupError", "message": "disk full"}
    assert "backup" not in body("backup_start", format="prime")


@pytest.mark.parametrize("kind", ["restore_start", "restore_success", "restore_failure"])
def test_prime_backup_of_a_restore_names_the_backup_and_says_of_it_only_what_is_known(kind: str) -> None:
    found = body(kind, format="prime")
    assert (found["event"], found["task"], found["status"]) == (kind, "restore", kind.removeprefix("restore_"))
    size = {"raw_size": 1_503_238_553} if kind == "restore_success" else {}
    # The payload's Id, CreatedAt and Operator are those of the restore.
    assert found["backup"] == {"id": message().payload["Id"], "targets": ["Mysql 1", "shop"]} | size
    assert found["operator"] == {"type": "user", "name": "ada", "full": "user:ada"}
    assert found["source"] == {"type": "console", "name": "db1"}


@pytest.mark.parametrize(
    ("trigger", "operator", "source", "who"),
    [
        ("manual", "ada", "console", "user:ada"),
        ("api", "ci", "command_source", "user:ci"),
        ("schedule", None, "command_source", "backupman:schedule"),
        ("retry", None, "command_source", "backupman:retry"),
        ("manual", None, "console", None),
        ("ingest", None, "unknown", None),
    ],
)
def test_prime_backup_has_four_words_for_what_began_it(
    trigger: str, operator: str | None, source: str, who: str | None
) -> None:
    found = body("backup_report", format="prime", payload={"Trigger": trigger, "Operator": operator})
    assert found["source"] == {"type": source, "name": "db1"}
    assert found.get("operator", {}).get("full") == who


def test_prime_backup_leaves_out_who_and_what_began_what_nobody_began() -> None:
    assert not {"backup", "operator", "source"} & body("backup_late", format="prime").keys()


@pytest.mark.parametrize("kind", EVENTS)
def test_prime_backup_has_a_word_for_everything(kind: str) -> None:
    found = body(kind, format="prime")
    assert {"event", "task", "status", "timestamp", "plugin", "title", "body", "desp"} <= found.keys()


def test_simplebackups_of_a_success_and_of_a_failure() -> None:
    assert body("backup_report", format="simplebackups") == {
        "id": "b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b",
        "type": "backup",
        "status": "success",
        "started_at": "2025-07-02 10:00:00",
        "finished_at": "2025-07-02 10:05:00",
        "backup": {"id": "Mysql 1", "name": "Mysql 1", "type": "database"},
        "server": {"id": "db1", "name": "db1"},
        "storage": {"id": "My Google Drive", "name": "My Google Drive"},
    }
    assert body("backup_failure", format="simplebackups")["status"] == "error"


@pytest.mark.parametrize("kind", ["backup_start", "backup_late", "notification"])
def test_simplebackups_knows_no_other_events(kind: str) -> None:
    assert request_of(kind, format="simplebackups") is None


def test_simplebackups_tells_the_databases_of_a_job_apart() -> None:
    ids = {
        body("backup_report", format="simplebackups", payload={"Label": label})["backup"]["id"]
        for label in ("cluster/shop", "cluster/blog", "wiki")
    }
    assert ids == {"cluster/shop", "cluster/blog", "wiki"}


@pytest.mark.parametrize(
    ("status", "drives", "storage"),
    [
        ("finished", "a:finished b!finished", "b"),
        ("finished", "a:failed b!finished", "b"),
        ("finished", "a:finished", "a"),
        ("failed", "a:failed b!finished c!failed d!failed", "c"),
        ("failed", "a:finished b:failed c!finished", "b"),
        ("failed", "a:finished b!finished", "b"),
        ("failed", "", None),
    ],
)
def test_simplebackups_storage_is_the_first_required_drive_and_of_a_failure_the_one_that_failed(
    status: str, drives: str, storage: str | None
) -> None:
    files = [{"Label": each[0], "Required": each[1] == "!", "Status": each[2:]} for each in drives.split()]
    payload = {"Status": status, "DriveFiles": files}
    assert body("backup_report", format="simplebackups", payload=payload)["storage"]["name"] == storage


def test_simplebackups_without_a_signature_is_warned_of() -> None:
    def warnings(**settings: Any) -> list[str]:
        block = {"endpoints": [{"name": "x", "url": "https://example.com/hook", **settings}]}
        return Webhook.model_validate(block).warnings()

    [warning] = warnings(format="simplebackups")
    assert warning.startswith("webhook/x: ") and "signing_secret" in warning and "SB-Signature" in warning
    for settings in ({"format": "simplebackups", "signing_secret": "secret"}, {"format": "prime"}, {}):
        assert warnings(**settings) == []


@pytest.mark.parametrize("odd", ODD_TEXTS.values())
def test_the_signature_is_over_exactly_what_is_sent(odd: str) -> None:
    request = request_of("backup_report", odd, format="simplebackups", signing_secret="sécret")
    assert request
    expected = hmac.new("sécret".encode(), request.content, hashlib.sha256).hexdigest()
    assert request.headers["SB-Signature"] == expected


@pytest.mark.service("openssl")
def test_another_program_comes_to_the_same_signature() -> None:
    request = request_of("backup_report", format="simplebackups", signing_secret="secret")
    assert request
    argv = ["openssl", "dgst", "-sha256", "-hmac", "secret"]
    said = subprocess.run(argv, input=request.content, capture_output=True, check=True).stdout.decode()
    assert said.split()[-1] == request.headers["SB-Signature"]


TEMPLATE = """
{
  "text": "{{ title }}: {{ payload.Error }}",
  "size": {{ payload.StoredSize }},
  "drives": [{% for file in payload.DriveFiles %}"{{ file.Label }}"{{ "," if not loop.last }}{% endfor %}],
  "all": {{ payload | tojson }}
}
"""


@pytest.mark.parametrize("odd", ODD_TEXTS.values())
def test_a_template_stays_json_whatever_is_filled_in(odd: str) -> None:
    found = body("backup_failure", odd, body=TEMPLATE)
    assert found["text"].startswith("Backup of Mysql 1")
    assert found["size"] == 45_000_000
    assert len(found["drives"]) == 1
    assert found["all"]["Job"].startswith("nightly")


def test_what_an_event_does_not_know_is_null() -> None:
    template = '{"size": {{ payload.StoredSize }}, "deep": {{ payload.a.b[0].c }}, "error": {{ payload.Error }}}'
    assert body("backup_late", body=template) == {"size": None, "deep": None, "error": None}


def test_a_template_reaches_nothing_of_python() -> None:
    for reaching in ("payload.__class__.__mro__", "''.__class__"):
        with pytest.raises(ValidationError, match="body cannot be filled"):
            request_of("backup_report", body=f'{{"a": {{{{ {reaching} }}}}}}')


def test_a_template_of_something_else_is_sent_as_it_comes_out() -> None:
    request = request_of("backup_report", body="{{ title }}\n{{ payload.Status }}", content_type="text/plain")
    assert request
    assert (request.headers["Content-Type"], request.content) == (
        "text/plain",
        b"Backup of Mysql 1 finished\nfinished",
    )


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"body": '{"a": "{{ title "}'}, "body cannot be filled"),
        ({"body": "{{ title }}"}, "body cannot be filled"),
        ({"body": "{}", "format": "prime"}, "in place of format and extended"),
        ({"body": "{}", "extended": True}, "in place of format and extended"),
        ({"format": "teams"}, "'backupman', 'prime' or 'simplebackups'"),
        ({"headers": {"SB-Signature": "x"}}, "is set by Backupman itself"),
        ({"signing_secret": ""}, "at least 1"),
    ],
)
def test_mistakes_are_found_when_it_is_loaded(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        request_of("backup_report", **settings)


def test_what_a_template_cannot_do_with_an_event_is_the_endpoints_failure() -> None:
    template = '{% if payload.Severity %}{{ 1 // 0 }}{% endif %}{"a": 1}'
    with pytest.raises(NotifyError, match=r"^webhook/x: body cannot be filled"):
        request_of("notification", body=template)
