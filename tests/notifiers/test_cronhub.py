"""Cronhub: the state in its place in the URL, as borgmatic put it there, and the warning that nobody may listen."""

from typing import Any

import pytest
from pydantic import ValidationError

from backupman.notifiers.cronhub import Cronhub
from tests.contracts.notifier import EVENTS, HttpNotifierContract, message
from tests.servers.receiver import Receiver

ID = "1f5e3410-254c-11e8-b61d-55875966d031"


def sent(kind: str, url: str) -> str | None:
    request = Cronhub.model_validate({"ping_url": url}).request(message(kind))
    return str(request.url) if request else None


class TestCronhub(HttpNotifierContract):
    notifier_class = Cronhub
    silent = frozenset({"restore_start", "prune_report", "alarm_drill"})
    wordless = frozenset(EVENTS) - silent

    @pytest.fixture
    def settings(self, receiver: Receiver, timeout: str) -> dict[str, Any]:
        return {"ping_url": f"{receiver.url}/start/{ID}", "events": EVENTS, "timeout": timeout}


@pytest.mark.parametrize("word", ["start", "ping", "finish", "fail"])
def test_the_state_stands_where_borgmatic_put_it(word: str) -> None:
    kinds = ("backup_start", "backup_success", "backup_failure", "prune_report")
    states = ("start", "finish", "fail")
    expected = [*(f"https://cronhub.io/{state}/{ID}" for state in states), None]
    assert [sent(kind, f"https://cronhub.io/{word}/{ID}") for kind in kinds] == expected


def test_only_the_segment_is_replaced() -> None:
    url = f"https://start/ping/restart/start/{ID}-start"
    assert sent("backup_failure", url) == f"https://start/ping/restart/fail/{ID}-start"


def test_placeholders_stand_for_what_the_event_is_about() -> None:
    url = "https://cronhub.io/start/{job}-{source}-{database}"
    assert sent("backup_success", url) == "https://cronhub.io/finish/nightly-mysql-1-shop"
    assert sent("backup_failure", "https://cronhub.io/ping/{job}/start") == "https://cronhub.io/ping/nightly/fail"


def test_a_url_without_a_place_for_the_state_is_refused() -> None:
    with pytest.raises(ValidationError, match="has no /start/ or /ping/ in it") as refused:
        Cronhub.model_validate({"ping_url": f"https://start/{ID}"})
    assert ID not in str(refused.value)


def test_it_warns_that_the_service_is_gone() -> None:
    (warning,) = Cronhub.model_validate({"ping_url": f"https://cronhub.io/start/{ID}"}).warnings()
    assert "shut down" in warning and "healthchecks" in warning
