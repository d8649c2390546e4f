"""The page of the workers: who works on what, and what waits for nobody; it keeps itself up to date."""

import re
from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from backupman.records import Status, new_id, now
from tests.dashboard.conftest import Served
from tests.dashboard.test_backup import text_of
from tests.dashboard.test_in_a_browser import page, told
from tests.dashboard.world import HOSTILE, crew, past
from tests.engine._fleet import Fleet, fleet, shared_records
from tests.servers.browser import axe

__all__ = ["fleet", "page", "shared_records", "told"]
FAILED = re.compile(r"The last backup of app failed; its newest good one is \d+ s old")


@pytest.fixture
def served(configured: Served, fleet: Fleet) -> Served:
    """A daemon whose work is handed to workers."""
    configured.config |= fleet.sections
    return configured.start()


def heading(visitor: httpx.Client) -> str:
    """The sentence on top."""
    found = re.search(r"<h1><bdi>([^<]+)", visitor.get("/workers").text)
    assert found
    return found[1]


def standing(visitor: httpx.Client) -> tuple[str, str, list[str]]:
    """The tone of the first page's sentence, the sentence, and what stands below it."""
    found = re.search(r'<section class="top (\w+)".*?</section>', visitor.get("/").text, re.DOTALL)
    assert found
    sentence, *below = re.findall(r"<bdi>([^<]+)</bdi>", found[0])
    return found[1], sentence, below


def test_there_is_no_such_page_where_the_daemon_does_all_itself(configured: Served) -> None:
    visitor = configured.start().visitor()
    assert "Workers</a>" not in visitor.get("/").text
    answer = visitor.get("/workers")
    assert answer.status_code == 404
    assert "all work is done by the daemon itself" in text_of(answer.text)


def test_whoever_is_not_signed_in_is_not_let_in(served: Served) -> None:
    assert served.visitor(None).get("/workers").headers["Location"] == "/sign-in?next=%2Fworkers"


def test_the_sentence_says_how_the_fleet_stands(root: httpx.Client, fleet: Fleet) -> None:
    assert "Workers</a>" in root.get("/").text
    assert heading(root) == "No worker was ever started"
    stopped = fleet.worker("db-7", "db7", takes_any=True, lives=False, stopped_at=now())
    assert heading(root) == "No worker lives"
    fleet.work("any")
    assert heading(root) == "Work waits in the queue any, and no worker takes it"
    fleet.work("db7")
    assert heading(root) == "Work waits in 2 queues, and no worker takes it"
    fleet.worker(stopped.host, "db7", takes_any=True)
    assert heading(root) == "The worker lives"
    lost = fleet.worker("db-8", "db8")
    assert heading(root) == "All 2 workers live"
    fleet.lose(lost)
    assert heading(root) == "1 of 2 workers lives"
    assert "nothing is heard of db-8 any more; 0 under way, 2 waiting" in text_of(root.get("/workers").text)


def test_the_first_page_says_that_work_waits_for_nobody(served: Served, root: httpx.Client, fleet: Fleet) -> None:
    assert standing(root) == ("none", "No backup has been made yet", [])
    fleet.work("db7", "shop")
    waits = "Work waits in the queue db7, and no worker takes it"
    assert standing(root) == ("bad", waits, ["No backup has been made yet"])
    past(served.store, "app", now(), proved=True)
    good = "app has a proven copy younger than 1 h"
    assert standing(root) == ("bad", waits, [good])
    fleet.work("db8")
    assert standing(root) == ("bad", "Work waits in 2 queues, and no worker takes it", ["db7 and db8", good])
    past(served.store, "app", now(), status=Status.FAILED)
    tone, failed, also = standing(root)
    assert (tone, also) == ("bad", ["Work waits in 2 queues, and no worker takes it"])
    assert FAILED.fullmatch(failed)
    fleet.worker("db-7", "db7", "db8")
    tone, failed, also = standing(root)
    assert (tone, also) == ("bad", [])
    assert FAILED.fullmatch(failed)


def test_workers_and_what_waits_are_shown(served: Served, root: httpx.Client, fleet: Fleet) -> None:
    crew(fleet)
    made = past(served.store, "app", now(), status=Status.PENDING)
    busy = fleet.worker("db-eu-4", "eu-north")
    taken = fleet.work("eu-north", "app", by=busy)
    fleet.store.assignments.began(taken.id, [made.id])
    page = root.get("/workers").text
    text = text_of(page)
    for words in ("eu-west, orders, any", "backup of orders for", "messages for", "Lost", "Stopped", "1.2.3"):
        assert words in text
    assert f'href="/backups/{made.id}"><bdi>backup of app' in page
    rows = re.findall(r"<tr( class=\"trouble\")?><td><span class=\"state (\w+)\">.*?</svg>([\w-]+)<", page)
    assert rows == [(' class="trouble"', "bad", "us-east"), ("", "pending", "eu-west")]
    assert "The last worker that did was on db-us-1 . Start one with backupman worker --queue us-east" in text


def test_of_many_workers_those_that_are_lost_stand_first(root: httpx.Client, fleet: Fleet) -> None:
    for number in range(41):
        fleet.worker(f"db-{number:02}", f"q{number}", lives=number != 40)
        fleet.work(f"q{number}")
    first, second = root.get("/workers").text, root.get("/workers?page=2").text
    assert "Page 1 of 2" in first and "and 1 more" in first
    hosts = [re.findall(r'<span class="label"><bdi>(db-\d+)', page) for page in (first, second)]
    assert (hosts[0][:2], hosts[1]) == (["db-40", "db-00"], ["db-39"])
    assert re.findall(r"</svg>(q\d+)<", first)[:2] == ["q40", "q0"]


def test_words_from_other_hosts_are_shown_harmlessly(root: httpx.Client, fleet: Fleet) -> None:
    fleet.work("db7", HOSTILE[:200], by=fleet.worker(HOSTILE[:200], "db7"), job=HOSTILE[:200])
    fleet.worker("gone " + HOSTILE[:200], "db8", lives=False)
    fleet.work("db8")
    page = root.get("/workers")
    assert page.status_code == 200
    assert "<script>alert" not in page.text and "<img" not in page.text
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u200e\u200f]|49A", page.text)


@pytest.mark.service("browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_out(page: Page, served: Served, fleet: Fleet, scheme: str) -> None:
    crew(fleet)
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page.add_init_script("window.setInterval = () => 0")  # it is looked at as it stands
    page.goto(f"{served.url}/workers")
    page.evaluate(axe())
    for width in (360, 768, 1100, 1400, 2000):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
        grave = [
            (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert grave == [], width


@pytest.mark.service("browser")
def test_it_is_seen_that_somebody_comes_and_takes_the_work(page: Page, served: Served, fleet: Fleet) -> None:
    waiting = fleet.work("db7", "shop", at=now() - timedelta(minutes=5))
    page.get_by_role("link", name="Workers").click()
    title, queues = page.get_by_role("heading", level=1), page.get_by_role("region", name="Queues")
    expect(title).to_have_text("Work waits in the queue db7, and no worker takes it")
    expect(queues).to_contain_text("nobody")
    worker = fleet.worker("db-7", "db7")
    expect(title).to_have_text("The worker lives")
    expect(queues).to_contain_text("db-7")
    fleet.take(waiting, worker)
    fleet.store.assignments.began(waiting.id, [new_id()])
    expect(queues).to_have_count(0)
    expect(page.get_by_role("link", name="backup of shop")).to_be_visible()
