"""What every page keeps: headers, no address but our own, harmless words from anywhere, and a small size."""

import re
from datetime import timedelta

import httpx
import pytest

from backupman.records import Status, now
from tests.dashboard.conftest import Served
from tests.dashboard.world import HOSTILE, configuration, hostile, past, two_months
from tests.dashboard.world import pages as all_pages

FIRST_VIEW = 60_000


@pytest.fixture
def harmed(configured: Served) -> Served:
    """A daemon all of whose names and errors are meant to do harm."""
    configured.config["data_sources"][0]["label"] = HOSTILE[:200]
    configured.start()
    hostile(configured.store)
    return configured


def test_words_from_anywhere_are_shown_harmlessly(harmed: Served) -> None:
    visitor = harmed.visitor()
    for name, path in all_pages(harmed.store).items():
        page = visitor.get(path)
        assert page.status_code == 200, (name, page.text[:300])
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert not re.search(
            r"[\u202a-\u202e\u2066-\u2069\u200e\u200f]",
            re.sub(r'(value|href|action|data-drive)="[^"]*"', "", page.text),
        ), name
        assert "49A" not in page.text
        assert re.findall(r"\son\w+=", re.sub(r">[^<]*<|\"[^\"]*\"", "", page.text)) == [], name


def test_every_page_forbids_what_it_does_not_need_and_asks_nobody_else(served: Served) -> None:
    past(served.store, "app", now())
    visitor = served.visitor()
    for name, path in {**all_pages(served.store), "wrong": "/?page=0"}.items():
        page = visitor.get(path)
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; "), name
        assert "unsafe" not in policy
        assert "*" not in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Cache-Control"] == "no-store"
        links = re.findall(r'(?:href|src|action|data-live)="([^"]*)"', page.text)
        assert [link for link in links if not link.startswith(("/", "#")) or link.startswith("//")] == [], name
        assert not re.search(r"<style|<script>|\sstyle=|\son[a-z]+=", page.text), name


def test_the_files_are_kept_by_browsers_and_are_the_only_ones(served: Served, root: httpx.Client) -> None:
    page = root.get("/").text
    files = re.findall(r'"(/static/[^"]+)"', page)
    assert len(set(files)) == 3
    for file in set(files):
        answer = root.get(file)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
        plain = root.get(file, headers={"Accept-Encoding": "identity"})
        assert ("Content-Encoding" in plain.headers, plain.content) == (False, answer.content)
    for path in ("/static/nothing.css", "/static/..%2fpages.py", "/static/"):
        assert root.get(path).status_code == 404


def test_the_first_view_is_small(configured: Served) -> None:
    configured.config = configuration(configured.folder, "http://127.0.0.1:9", *(f"source-{n}" for n in range(40)))
    configured.start()
    for number in range(40):
        past(configured.store, f"source-{number}", now(), error="why " * 100, status=Status.FAILED)
    for night in range(1, 60):
        past(configured.store, "source-0", now() - timedelta(days=night), size=2**30 + night**4)
    visitor = configured.visitor()
    first = visitor.get("/")
    lines = [len(line) for line in first.text.split('<li class="row ')[1:]]
    assert (len(lines), "Page 1 of 2" in first.text) == (20, True)
    full = len(first.content) - sum(lines) + 20 * max(lines)  # as if every line had as many runs
    addresses = set(re.findall(r'"(/static/[^"]+)"', first.text))
    files = sum(visitor.get(file).num_bytes_downloaded for file in addresses)
    assert full + files < FIRST_VIEW
    assert len(re.findall(r'<li class="row ', visitor.get("/?page=2").text)) == 20


def test_every_page_takes_a_past(served: Served) -> None:
    two_months(served.store)
    visitor = served.visitor()
    for path in all_pages(served.store).values():
        assert visitor.get(path).status_code == 200


def test_what_is_wrong_is_a_page_too(served: Served, root: httpx.Client) -> None:
    answer = root.get("/?page=0")
    assert answer.status_code == 422
    assert "page: " in answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
