"""Jobs, storage, deliveries, events, notifications, notifiers and the config: what is seen there, and what is done."""

import re
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from backupman.dashboard.storage import Holdings
from backupman.events import EventKind
from backupman.records import DeliveryState, Status, now
from backupman.store.ingest import Noted, Recipient
from backupman.store.outbox import Attempt
from tests.dashboard.conftest import Served, token
from tests.dashboard.test_backup import text_of
from tests.dashboard.world import INSTANCE, configuration, past
from tests.e2e.world import wait_for
from tests.servers.receiver import Receiver

HOOK = "webhook/Operations"
FAILURE = EventKind.BACKUP_FAILURE
Post = Callable[..., httpx.Response]


@pytest.fixture
def post(root: httpx.Client) -> Post:
    """Sends a form of the first page to an address."""
    return lambda path, **fields: root.post(path, data={"token": token(root.get("/").text), **fields})


def test_a_job_is_shown_with_its_next_ten_runs_and_is_run(served: Served, root: httpx.Client, post: Post) -> None:
    page = root.get("/jobs").text
    assert len(re.findall(r"data-when", page)) == 10
    assert page.count("data-until") == 1
    for words in ("nightly", "30 2 * * *", "app", "disk", "offsite", HOOK, "nothing is removed"):
        assert words in text_of(page)
    started = post("/backups", job="nightly")
    assert started.status_code == 303
    wait_for(lambda: [backup.status for backup in served.store.backups.list()] == [Status.FINISHED])
    made = served.store.backups.get("latest")
    assert (started.headers["Location"], made.trigger) == (f"/backups/{made.id}?done=started", "api")
    assert "The backup was started." in root.get(started.headers["Location"]).text


def test_one_source_of_a_job_is_run_alone(configured: Served) -> None:
    configured.config = configuration(configured.folder, "http://127.0.0.1:9", "orders", "shop")
    visitor = configured.start().visitor()
    page = visitor.get("/jobs").text
    assert re.findall(r'name="source" value="(\w+)"', page) == ["orders", "shop"]
    assert visitor.post("/backups", data={"token": token(page), "source": "shop"}).status_code == 303
    wait_for(lambda: [made.status for made in configured.store.backups.list()] == [Status.FINISHED])
    assert [made.source for made in configured.store.backups.list()] == ["shop"]


def test_a_job_that_is_not_there_is_not_run(post: Post) -> None:
    refused = post("/backups", job="nightlx")
    assert (refused.status_code, "nightly" in refused.text) == (404, True)


def test_only_whoever_may_run_is_offered_to(served: Served) -> None:
    visitor = served.visitor("read")
    page = visitor.get("/jobs").text
    assert "Run now" not in page
    assert visitor.post("/backups", data={"token": token(page), "job": "nightly"}).status_code == 403


def test_storage_tells_what_goes_next_and_why(configured: Served) -> None:
    configured.config["retention"] = {"by": "age", "value": 30}
    store = configured.start().store
    for days in (1, 2, 29, 40, 41):
        past(store, "app", now() - timedelta(days=days), size=2**20)
    text = text_of(configured.visitor().get("/storage").text)
    assert text.count("5.0 MiB") == 2  # on each drive
    assert "2 go (2.0 MiB) and 3 stay" in text
    assert text.count("older than 30d") == 4


def test_storage_draws_what_was_added_each_day(served: Served, root: httpx.Client) -> None:
    for days, size in ((1, 2**20), (2, 2**21), (200, 2**30)):
        past(served.store, "app", now() - timedelta(days=days), size=size)
    assert root.get("/storage").text.count("bytes a day in the last 28 days</title>") == 2


def test_nobody_waits_for_many_copies_to_be_counted_anew(served: Served) -> None:
    past(served.store, "app", now())
    clock = iter((0.0, 0.0, 30.0, *[100.0] * 1000))
    holdings = Holdings(lambda: next(clock), many=1)
    first = holdings.of(served.store)
    past(served.store, "app", now())
    assert holdings.of(served.store) is first
    assert holdings.of(served.store) is first  # a minute is over: they are being counted
    wait_for(lambda: holdings.of(served.store) is not first)
    assert [holdings.of(served.store).held["disk"].count, first.held["disk"].count] == [2, 1]


def test_storage_without_retention_says_that_nothing_goes(served: Served, root: httpx.Client) -> None:
    past(served.store, "app", now(), drives=("disk", "sold"))
    text = text_of(root.get("/storage").text)
    assert "No retention: nothing is ever removed." in text
    assert "sold not in the config any more" in text


def test_a_delivery_is_followed_and_sent_again(served: Served, root: httpx.Client, post: Post) -> None:
    past(served.store, "app", now(), endpoints=(HOOK,))
    (owed,) = served.store.outbox.claim(INSTANCE, 10, timedelta(minutes=1))
    assert owed.id is not None
    served.store.outbox.record(owed.id, Attempt(1, DeliveryState.FAILED, now(), 0.2, None, "500: out of paper"))
    text = text_of(root.get("/deliveries?state=failed").text)
    for words in ("Given up", "backup_report", HOOK, "500: out of paper", "app"):
        assert words in text
    assert "backup_report" not in text_of(root.get("/deliveries?state=delivered").text).split("Answer")[-1]
    again = post(f"/deliveries/{owed.id}/retry", back="/deliveries?state=owed")
    assert (again.status_code, again.headers["Location"]) == (
        303,
        "/deliveries?state=owed&done=sent",
    )
    assert [each.state for each in served.store.outbox.deliveries()] == ["owed"]
    assert post("/deliveries/4711/retry").status_code == 409
    assert post(f"/deliveries/{owed.id}/retry", back="//evil.example").headers["Location"] == "/?done=sent"


def test_an_event_is_shown_whole_and_told_again(served: Served, root: httpx.Client, post: Post) -> None:
    made = past(served.store, "app", now(), endpoints=(HOOK,))
    assert "backup_report" in text_of(root.get("/events?kind=backup_report").text)
    assert "Nothing has happened" in root.get("/events?kind=backup_late").text
    (event,) = served.store.outbox.events()
    text = text_of(root.get(f"/events/{event.id[:8]}").text)
    assert made.id in text
    assert HOOK in text
    assert post(f"/events/{event.id}/replay").headers["Location"] == f"/events/{event.id}?done=replayed"
    assert [each.endpoint for each in served.store.outbox.deliveries()] == [HOOK, HOOK]


def test_nobody_but_an_administrator_sends_anything(served: Served) -> None:
    past(served.store, "app", now(), endpoints=(HOOK,))
    visitor = served.visitor("operator")
    (event,), (delivery,) = served.store.outbox.events(), served.store.outbox.deliveries()
    words = {"token": token(visitor.get("/").text), "name": HOOK}
    for path in (f"/events/{event.id}/replay", f"/deliveries/{delivery.id}/retry", "/notifiers/test"):
        assert visitor.post(path, data=words).status_code == 403
    for path in ("/deliveries", f"/events/{event.id}", "/notifiers"):
        page = visitor.get(path)
        assert (page.status_code, len(re.findall("<form method=.post", page.text))) == (200, 1)  # to sign out
    assert visitor.get("/config").status_code == 403


def test_notifications_are_filtered(served: Served, root: httpx.Client) -> None:
    for severity, kind, device in (("info", "update", "web"), ("critical", "raid", "nas"), ("error", "disk", "nas")):
        told = Noted(device, now(), severity, kind, None, f"look at the {kind}")
        served.store.ingest.notification(told, Recipient(INSTANCE))
    for asked, found in (
        ("", {"update", "raid", "disk"}),
        ("severity=critical", {"raid"}),
        ("device=nas", {"raid", "disk"}),
        ("device=nas&type=disk", {"disk"}),
        ("device=none", set()),
    ):
        page = root.get(f"/notifications?{asked}").text
        assert set(re.findall(r"<strong><bdi>(\w+)", page)) == found
    assert root.get("/notifications?before=x").status_code == 422


def test_notifications_are_ingested_and_own(served: Served, root: httpx.Client) -> None:
    told = Noted("nas", now() - timedelta(minutes=1), "critical", "raid", None, "look at the raid")
    served.store.ingest.notification(told, Recipient(INSTANCE))
    past(served.store, "app", now(), status=Status.FAILED, error="app: the server is gone", kind_told=FAILURE)
    types = re.compile(r"<strong><bdi>(\w+)")
    page = root.get("/notifications").text
    assert types.findall(page) == [FAILURE, "raid"]
    assert "app: the server is gone" in text_of(page)
    for asked, found in (
        (f"device={INSTANCE}", [FAILURE]),
        ("device=nas", ["raid"]),
        ("severity=error", [FAILURE]),
        (f"type={FAILURE}", [FAILURE]),
        ("severity=info", []),
    ):
        assert types.findall(root.get(f"/notifications?{asked}").text) == found
    (event,) = served.store.outbox.events(kind=FAILURE)
    assert f'href="/events/{event.id}"' in page
    assert FAILURE in root.get(f"/events/{event.id}").text


def test_notifications_have_pages(served: Served, root: httpx.Client) -> None:
    for number in range(60):
        told = Noted("nas", now() - timedelta(seconds=number), "info", f"n{number}")
        served.store.ingest.notification(told, Recipient(INSTANCE))
    first = root.get("/notifications").text
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older
    second = root.get(older[1].replace("&amp;", "&")).text
    assert [len(re.findall(r"<strong><bdi>n\d+", page)) for page in (first, second)] == [50, 10]


def test_a_notifier_is_tried(configured: Served, receiver: Receiver) -> None:
    configured.config = configuration(configured.folder, receiver.url, "app")
    visitor = configured.start().visitor()
    page = visitor.get("/notifiers").text
    assert HOOK in page
    tried = visitor.post("/notifiers/test", data={"token": token(page), "name": HOOK})
    assert "Taken" in text_of(tried.text)
    assert len(receiver.requests) == 1
    unknown = visitor.post("/notifiers/test", data={"token": token(page), "name": "nobody"})
    assert unknown.status_code == 404


def test_a_notifier_that_does_not_answer_says_so(root: httpx.Client, post: Post) -> None:
    assert "Not taken" in text_of(post("/notifiers/test", name=HOOK).text)


def test_the_config_is_shown_without_a_secret(served: Served, root: httpx.Client) -> None:
    page = root.get("/config").text
    for words in ("data_sources", "nightly", "webhook", str(served.folder / "app.db")):
        assert words in page
    for secret in ("t0ken-of-hook", "bm_every-scope", "bm_operator"):
        assert secret not in page


def test_whoever_is_told_of_nothing_is_told_what_to_do(configured: Served) -> None:
    del configured.config["notifiers"]
    visitor = configured.start().visitor()
    for path in ("/deliveries", "/notifiers"):
        assert "<code>notifiers</code>" in visitor.get(path).text
