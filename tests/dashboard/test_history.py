"""Every backup is found: by filters that stand in the address, by a search, and page by page."""

import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from backupman.records import Status, now
from backupman.store.ingest import Recipient, Reported
from tests.dashboard.conftest import Served
from tests.dashboard.world import INSTANCE, configuration, past

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Somebody who looks at the backups of three sources and another machine, which nobody changes."""
    served = Served(tmp_path_factory.mktemp("history"))
    served.config = configuration(served.folder, "http://127.0.0.1:9", "orders", "orders-old", "shop")
    store = served.start().store
    past(store, "orders", now(), status=Status.FAILED, error="orders: no")
    past(store, "orders", now() - DAY * 2)
    past(store, "orders-old", now() - DAY * 20)
    past(store, "shop", now() - DAY * 40)
    store.ingest.backup(Reported("web-1", "rsync", now() - DAY, "success", "fine"), Recipient(INSTANCE))
    yield served.visitor()
    served.stop()


def labels(page: httpx.Response) -> list[str]:
    assert page.status_code == 200, page.text
    return re.findall(r'<a class="label"[^>]*><bdi>([^<]*)', page.text)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", ["orders", "rsync", "orders", "orders-old", "shop"]),
        ("status=failed", ["orders"]),
        ("kind=ingested", ["rsync"]),
        ("kind=own&days=7", ["orders", "orders"]),
        ("source=orders&database=orders", ["orders", "orders"]),
        ("device=web-1&kind=ingested", ["rsync"]),
        ("job=weekly", []),
        ("days=30", ["orders", "rsync", "orders", "orders-old"]),
        ("q=shop", ["shop"]),
        ("q=RSYNC", ["rsync"]),
        ("q=nowhere", []),
    ],
)
def test_it_is_narrowed_down(full: httpx.Client, asked: str, found: list[str]) -> None:
    assert labels(full.get(f"/backups?{asked}")) == found


def test_a_search_that_fits_several_asks_which(full: httpx.Client) -> None:
    page = full.get("/backups?q=order").text
    links = re.findall(r'href="(/backups\?source=[^"]*)"', page)
    assert [link.replace("&amp;", "&") for link in links] == [
        "/backups?source=orders&database=orders&kind=own",
        "/backups?source=orders-old&database=orders-old&kind=own",
    ]
    assert labels(full.get(links[1].replace("&amp;", "&"))) == ["orders-old"]


def test_the_beginning_of_an_id_leads_to_its_page(full: httpx.Client) -> None:
    newest = re.findall(r'class="label" href="(/backups/([0-9a-f-]{36}))"', full.get("/backups").text)[0]
    answer = full.get(f"/backups?q={newest[1][:8]}")
    assert (answer.status_code, answer.headers["Location"]) == (303, newest[0])


def test_the_filters_stand_in_the_form_and_in_the_links(configured: Served) -> None:
    store = configured.start().store
    for number in range(120):
        past(store, "app", now() - timedelta(minutes=number))
    past(store, "app", now(), status=Status.FAILED, error="no")
    visitor = configured.visitor()
    path, seen = "/backups?status=finished", []
    while path:
        page = visitor.get(path)
        seen.append(len(labels(page)))
        assert '<option value="finished" selected>' in page.text
        older = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = older[1].replace("&amp;", "&") if older else ""
        assert "status=finished" in path or not path
    assert seen == [50, 50, 20]


@pytest.mark.parametrize("asked", ["status=none", "kind=x", "days=5", "cursor=x", "q=" + "a" * 600])
def test_what_is_no_filter_is_refused(full: httpx.Client, asked: str) -> None:
    assert full.get(f"/backups?{asked}").status_code == 422


def test_before_the_first_backup_it_says_how_to_make_one(root: httpx.Client) -> None:
    assert "backupman run" in root.get("/backups").text
