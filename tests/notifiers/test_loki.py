"""Loki: streams that its push API takes, the same at every try, with the run's log in the order of its lines."""

import gzip
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backupman.notifiers import Message
from backupman.notifiers.loki import Loki
from tests.contracts.notifier import EVENTS, ODD_TEXTS, HttpNotifierContract, message
from tests.servers.receiver import Answer, Receiver

URL = "http://localhost:3100/loki/api/v1/push"


def stream(event: Message, **settings: Any) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Labels and lines of the one stream that is pushed, which keeps to what Loki takes."""
    file = Path("/etc/backupman/config.yml")
    block = Loki.model_validate({"url": URL, **settings}, context={"config_file": file})
    request = block.request(event)
    assert request.headers["Content-Type"] == "application/json"
    content = request.content
    if request.headers.get("Content-Encoding") == "gzip":
        content = gzip.decompress(content)
    [found] = json.loads(content)["streams"]
    assert 0 < len(found["stream"]) <= 15
    assert all(isinstance(value, str) and len(value) <= 2048 for value in found["stream"].values())
    times = [int(time) for time, _ in found["values"]]
    assert all(isinstance(time, str) for time, _ in found["values"])
    assert times == sorted(set(times))
    assert all(len(line.encode()) <= 256 * 1024 for _, line in found["values"])
    return found["stream"], [(int(time), line) for time, line in found["values"]]


class TestLoki(HttpNotifierContract):
    notifier_class = Loki
    good = Answer(204, body=b"")
    delivered = frozenset({204})

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {
            "url": f"{receiver.url}/loki/api/v1/push",
            "username": "123456",
            "password": "glc_secret-token",
            "events": EVENTS,
            "timeout": timeout,
            "compress": False,
        }


def test_one_line_says_what_happened() -> None:
    labels, [(time, line)] = stream(message("backup_failure"))
    assert labels == {"app": "backupman", "hostname": socket.gethostname(), "job": "nightly"}
    assert time == 1_751_450_700 * 10**9
    assert line == (
        "Backup of Mysql 1 failed: My Google Drive: quota exceeded "
        "(event=backup_failure id=b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b)"
    )


def test_placeholders_stand_for_whole_labels() -> None:
    labels, _ = stream(
        message(),
        labels={
            "app": "borgmatic",
            "config": "__config",
            "path": "__config_path",
            "hostname": "__hostname",
            "job": "__job",
            "text": "on __hostname",
        },
    )
    assert labels == {
        "app": "borgmatic",
        "config": "config.yml",
        "path": "/etc/backupman/config.yml",
        "hostname": socket.gethostname(),
        "job": "nightly",
        "text": "on __hostname",
    }


def test_the_log_comes_before_the_event_and_a_second_try_is_the_same() -> None:
    event = replace(message("backup_failure"), log=["one", "two", "three"])
    _, values = stream(event)
    assert [line for _, line in values][:3] == ["one", "two", "three"]
    assert values[3][1].startswith("Backup of Mysql 1 failed")
    assert stream(event)[1] == values
    assert len(stream(event, send_logs=False)[1]) == 1


def test_a_start_has_no_log_which_grows_between_its_attempts_and_comes_whole_with_the_end() -> None:
    event = replace(message("backup_start"), log=["ERROR: one"])
    _, [(_, line)] = stream(event)
    assert line.startswith("Backup of Mysql 1 started")
    assert stream(replace(event, log=["ERROR: one", "two"])) == stream(event)


def test_of_a_long_log_the_newest_lines_are_sent_compressed() -> None:
    event = replace(message(), log=[f"{number} " + "x" * 1000 for number in range(5000)])
    _, values = stream(event)
    assert 900 < len(values) < 1010
    assert values[-2][1].startswith("4999 ")
    request = Loki.model_validate({"url": URL}).request(event)
    assert request.headers["Content-Encoding"] == "gzip"
    assert len(request.content) < 100_000
    assert "Content-Encoding" not in Loki.model_validate({"url": URL, "compress": False}).request(event).headers


@pytest.mark.parametrize("odd", ODD_TEXTS.values())
def test_odd_text_makes_a_line(odd: str) -> None:
    stream(replace(message("backup_failure", odd), log=[odd]))


def test_a_tenant_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValidationError, match="pattern"):
        Loki.model_validate({"url": URL, "tenant": "öps"})


def test_the_tenant_and_the_login() -> None:
    settings = {"url": URL, "tenant": "ops", "username": "123456", "password": "token"}
    headers = Loki.model_validate(settings).request(message()).headers
    assert headers["X-Scope-OrgID"] == "ops"
    assert headers["Authorization"] == "Basic MTIzNDU2OnRva2Vu"
    assert "Authorization" not in Loki.model_validate({"url": URL}).request(message()).headers


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"labels": {"two words": "x"}}, "is no label"),
        ({"labels": {"1st": "x"}}, "is no label"),
        ({"labels": {}}, "at least 1"),
        ({"labels": {f"l{number}": "x" for number in range(16)}}, "at most 15"),
        ({"username": "x"}, "belong together"),
    ],
)
def test_mistakes_are_found_when_it_is_loaded(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Loki.model_validate({"url": URL, **settings})
