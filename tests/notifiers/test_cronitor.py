"""Cronitor: telemetry pings with series, message and metrics, and the short address as borgmatic pings it."""

from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from backupman.notifiers.cronitor import Cronitor
from tests.contracts.notifier import EVENTS, ODD_TEXTS, HttpNotifierContract, message
from tests.servers.receiver import Receiver

TELEMETRY = "https://cronitor.link/p/0123456789abcdef/nightly"
RUN = message().payload["Id"]


def sent(kind: str, url: str = TELEMETRY, text: str = "", **settings: Any) -> httpx.Request | None:
    return Cronitor.model_validate({"ping_url": url, **settings}).request(message(kind, text, Seconds=300.0004))


def asked(kind: str, **settings: Any) -> dict[str, list[str]]:
    request = sent(kind, **settings)
    assert request and request.method == "GET" and request.url.path == "/p/0123456789abcdef/nightly"
    return parse_qs(request.url.query.decode(), strict_parsing=True)


class TestCronitor(HttpNotifierContract):
    notifier_class = Cronitor
    silent = frozenset({"restore_start", "prune_report", "alarm_drill"})

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {"ping_url": f"{receiver.url}/p/0123456789abcdef/nightly", "events": EVENTS, "timeout": timeout}


def test_a_start_says_which_run_it_is() -> None:
    assert asked("backup_start", environment="production") == {
        "state": ["run"],
        "series": [RUN],
        "message": ["Backup of Mysql 1 started: The backup of Mysql 1 is under way."],
        "host": ["db1"],
        "env": ["production"],
        "stamp": ["1751450700.000"],
    }


def test_an_end_has_metrics() -> None:
    assert asked("backup_success") == {
        "state": ["complete"],
        "series": [RUN],
        "message": ["Backup of Mysql 1 finished: Mysql 1 is stored on My Google Drive."],
        "metric": ["duration:300.0", "length:45000000", "error_count:0"],
        "host": ["db1"],
        "stamp": ["1751450700.000"],
    }
    failed = asked("backup_failure")
    assert (failed["state"], failed["series"], failed["metric"][2]) == (["fail"], [RUN], "error_count:1")
    assert "quota exceeded" in failed["message"][0]


def test_an_incident_belongs_to_no_run() -> None:
    for kind in ("backup_late", "verify_failure"):
        told = asked(kind)
        assert told["state"] == ["fail"]
        assert not {"series", "metric"} & told.keys()


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_an_address_stays_short_enough_for_servers(odd: str) -> None:
    request = sent("backup_failure", text=ODD_TEXTS[odd])
    assert request and len(request.url.raw_path) < 5_000


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("backup_start", "/d3x0c1/run"),
        ("backup_success", "/d3x0c1/complete"),
        ("backup_failure", "/d3x0c1/fail"),
        ("prune_report", None),
        ("reconcile_report", "/d3x0c1/fail"),
    ],
)
def test_a_short_address_is_pinged_as_borgmatic_does(kind: str, path: str | None) -> None:
    request = sent(kind, "https://cronitor.link/d3x0c1")
    assert (request and (request.method, request.url.raw_path.decode())) == (path and ("GET", path))


def test_a_monitor_can_be_named_by_what_is_backed_up() -> None:
    request = sent("backup_late", "https://cronitor.link/p/0123456789abcdef/{job}-{source}")
    assert request and request.url.path == "/p/0123456789abcdef/nightly-mysql-1"
