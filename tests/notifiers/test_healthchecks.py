"""Healthchecks: the pings that borgmatic sends, `rid`, slugs, and a body that the server keeps whole."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from backupman.notifiers import Endpoint
from backupman.notifiers.healthchecks import Healthchecks
from tests.contracts.notifier import EVENTS, HttpNotifierContract, deliver, message, refusal
from tests.servers.receiver import Answer, Receiver

UUID = "addffa72-da17-40ae-be9c-ff591afb942a"
RUN = message().payload["Id"]


def healthchecks(url: str, **settings: Any) -> Healthchecks:
    return Healthchecks.model_validate({"ping_url": url, **settings})


def sent(kind: str, url: str = f"http://localhost/{UUID}", **settings: Any) -> tuple[str, str, str]:
    """Method, path with its query, and body."""
    request = healthchecks(url, **settings).request(message(kind))
    return request.method, request.url.raw_path.decode(), request.content.decode()


class TestHealthchecks(HttpNotifierContract):
    notifier_class = Healthchecks
    good = Answer(body=b"OK", headers={"Ping-Body-Limit": "10000"})
    wordless = frozenset({"backup_start"})

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {"ping_url": f"{receiver.url}/{UUID}", "events": EVENTS, "timeout": timeout}

    def test_a_body_is_never_longer_than_the_server_keeps(self, endpoint: Endpoint, receiver: Receiver) -> None:
        receiver.usual = Answer(body=b"OK", headers={"Ping-Body-Limit": "500"})
        for kind in ("backup_start", "backup_failure"):
            deliver(endpoint, kind, "ЖЖЖ " * 1000)
        assert 490 < len(receiver.requests[1].body) <= 500
        receiver.requests[1].body.decode()

    def test_a_check_that_is_not_there_is_an_error_on_old_servers_too(
        self, endpoint: Endpoint, receiver: Receiver
    ) -> None:
        receiver.answer(200, body=b"OK (not found)")
        assert "correct ping_url" in refusal(endpoint).sentence


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("backup_start", f"/{UUID}/start"),
        ("backup_success", f"/{UUID}"),
        ("backup_failure", f"/{UUID}/fail"),
        ("prune_report", f"/{UUID}/log"),
        ("reconcile_report", f"/{UUID}/fail"),
        ("verify_failure", f"/{UUID}/fail"),
    ],
)
def test_each_state_is_pinged_where_borgmatic_pings_it(kind: str, path: str) -> None:
    method, where, _ = sent(kind)
    assert (method, where.partition("?")[0]) == ("POST", path)


def test_start_and_end_of_one_backup_share_a_run() -> None:
    assert {sent(kind)[1].partition("?")[2] for kind in ("backup_start", "backup_success", "backup_failure")} == {
        f"rid={RUN}"
    }
    for kind in ("backup_late", "verify_failure"):
        assert sent(kind)[1] == f"/{UUID}/fail", "it is about no certain run"


def test_a_start_has_no_body_and_an_end_says_what_came_of_it() -> None:
    assert sent("backup_start")[2] == ""
    assert sent("backup_success")[2].startswith("Backup of Mysql 1 finished\n\nMysql 1 is stored on My Google Drive.")
    assert "quota exceeded" in sent("backup_failure")[2]
    assert sent("backup_failure", send_logs=False)[2] == ""


def test_the_newest_lines_of_the_log_go_along() -> None:
    run = replace(message("backup_success"), log=[f"line {number}" for number in range(5000)])
    body = healthchecks(UUID, ping_body_limit=2000).request(run).content.decode()
    assert len(body) == 2000
    assert "...\n" in body and body.endswith("line 4998\nline 4999")


def test_a_uuid_is_enough_and_a_pasted_query_is_left_out() -> None:
    request = healthchecks(UUID).request(message("backup_late"))
    assert str(request.url) == f"https://hc-ping.com/{UUID}/fail"
    assert sent("backup_late", f"http://localhost/{UUID}/?rid=1")[1] == f"/{UUID}/fail"


def test_a_slug_can_be_made_for_each_job_source_and_database() -> None:
    path = sent("backup_start", "http://localhost/pingkey/{job}-{source}-{database}", create_slug=True)[1]
    assert path == f"/pingkey/nightly-mysql-1-shop/start?rid={RUN}&create=1"
    assert healthchecks("https://hc-ping.com/pingkey/{job}", create_slug=True).warnings() == []


def test_a_bad_copy_makes_the_check_of_its_database_red() -> None:
    url = "http://localhost/pingkey/{job}-{source}-{database}"
    bad, good = ({"Database": name, "Good": name == "b"} for name in "ab")
    for copies, path in (([bad, good], "a"), ([good], "none"), ([], "none")):
        request = healthchecks(url).request(message("verify_failure", Copies=copies))
        assert request.url.path == f"/pingkey/nightly-mysql-1-{path}/fail"


def test_several_late_databases_make_the_check_of_the_first_red() -> None:
    request = healthchecks("http://localhost/key/{database}").request(
        message("backup_late", Database=None, Databases=["a", "b"])
    )
    assert request.url.path == "/key/a/fail"


def test_a_uuid_is_not_created() -> None:
    assert sent("backup_late", create_slug=True)[1] == f"/{UUID}/fail"
    assert healthchecks(UUID, create_slug=True).warnings() == ["healthchecks: create_slug does nothing for a UUID"]


def test_an_exit_status_may_say_it() -> None:
    paths = [sent(kind, exit_status=True)[1] for kind in ("backup_success", "backup_failure", "backup_start")]
    assert [path.partition("?")[0] for path in paths] == [f"/{UUID}/0", f"/{UUID}/1", f"/{UUID}/start"]


@pytest.mark.parametrize(
    ("url", "limit", "said", "bytes_"),
    [
        (UUID, None, None, 100_000),
        (f"https://checks.example.com/ping/{UUID}", None, None, 10_000),
        (f"https://checks.example.com/ping/{UUID}", None, "50000", 50_000),
        (UUID, 0, None, 2_000_000),
        (UUID, 0, "100000", 100_000),
        (UUID, "20 KiB", "100000", 20_480),
        (UUID, "20 KiB", "1000", 1_000),
        (UUID, "20 KiB", "nonsense", 20_480),
    ],
)
def test_the_limit_is_the_servers_unless_the_config_says_less(
    receiver: Receiver, url: str, limit: Any, said: str | None, bytes_: int
) -> None:
    notifier = healthchecks(url, ping_body_limit=limit)
    if said:
        receiver.usual = Answer(headers={"Ping-Body-Limit": said})
        there = healthchecks(f"{receiver.url}/{UUID}", ping_body_limit=limit)
        deliver(there.endpoints()[0])
        notifier._said_limit = there._said_limit
    request = notifier.request(replace(message("backup_success"), log=["x" * 3_000_000]))
    assert len(request.content) == bytes_


def test_its_url_is_required_and_an_address() -> None:
    with pytest.raises(ValidationError, match="ping_url is required while the healthchecks notifier is enabled"):
        healthchecks("")
    with pytest.raises(ValidationError, match="ping_url is not an address"):
        healthchecks("addffa72")
    assert list(healthchecks(UUID).kinds) == [
        "backup_start",
        "backup_success",
        "backup_failure",
        "backup_late",
        "backup_missed",
        "verify_failure",
    ]
