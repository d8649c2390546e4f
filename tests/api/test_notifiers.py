"""A test of notifiers over HTTP."""

from tests.api.conftest import Api
from tests.servers.receiver import Receiver


def test_a_sample_reaches_everybody(api: Api, receiver: Receiver) -> None:
    with api.client("admin") as client:
        answer = client.post("/api/notifiers/test")
    assert answer.status_code == 200
    assert answer.json()["Delivered"] is True
    [trial] = answer.json()["Results"]
    assert (trial["Endpoint"], trial["Event"], trial["Error"]) == ("webhook/Hook", "backup_report", None)
    assert b'"TEST"' in receiver.requests[0].body


def test_what_was_not_taken_is_told_without_secrets(api: Api, receiver: Receiver) -> None:
    receiver.answer(500, body=b"no")
    with api.client("admin") as client:
        answer = client.post("/api/notifiers/test", json={"Event": "backup_failure", "Notifiers": ["Hook"]})
    assert answer.json()["Delivered"] is False
    [trial] = answer.json()["Results"]
    assert "answered 500" in trial["Error"] and receiver.url not in answer.text
    with api.client("admin") as client:
        nobody = client.post("/api/notifiers/test", json={"Event": "backup_failure"})
    assert nobody.json() == {"Delivered": True, "Results": []}


def test_wrong_names_and_other_keys_are_refused(api: Api, receiver: Receiver) -> None:
    with api.client("admin") as client:
        assert client.post("/api/notifiers/test", json={"Notifiers": ["Hok"]}).status_code == 404
        assert client.post("/api/notifiers/test", json={"Event": "backup_fail"}).status_code == 422
    for key in ("read", "run", "ingest"):
        with api.client(key) as client:
            assert client.post("/api/notifiers/test").status_code == 403
    assert receiver.requests == []
