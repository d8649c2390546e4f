"""A page that stays open, for hours or days: what it says goes on being true, or it says that it does not."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from backupman.errors import StoreError
from backupman.events import EventKind
from backupman.records import Incident, now
from backupman.store.jobs import Changes
from tests.dashboard.conftest import Served, token
from tests.dashboard.world import INSTANCE, KEYS, past

pytestmark = pytest.mark.service("browser")

OLD = "What stands here is as it was"


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The overview of good backups, with a clock that the test moves on."""
    expect.set_options(timeout=60_000)
    past(served.store, "app", now() - timedelta(hours=1))
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    page.goto(f"{served.url}/sign-in")
    page.get_by_label("API key").fill(KEYS["root"])
    page.get_by_role("button", name="Sign in").click()
    expect(title(page)).to_contain_text("app has a good backup")
    expect(page.get_by_role("alert")).to_have_count(0)
    yield page
    context.close()


def title(page: Page) -> Locator:
    return page.get_by_role("heading", level=1)


def later(page: Page) -> None:
    """Let a minute pass for the page."""
    page.clock.fast_forward("01:00")


def test_what_no_backup_tells_is_seen_too(page: Page, served: Served) -> None:
    """A deadline that passes while nothing runs."""
    late = Incident(
        instance=INSTANCE, kind=EventKind.BACKUP_LATE, job="nightly", source="app", database="app",
        due_at=now(), opened_at=now(), reminded_at=now(),
    )  # fmt: skip
    served.store.jobs.change_incidents(Changes(opened=[late]), now())
    later(page)
    expect(title(page)).to_contain_text("app has had no good backup")


def test_a_daemon_that_cannot_be_reached_is_told(page: Page) -> None:
    told = page.get_by_role("alert")
    page.context.set_offline(True)
    later(page)
    expect(told).to_contain_text(f"The daemon cannot be reached. {OLD}")
    page.context.set_offline(False)
    later(page)
    expect(told).to_have_count(0)
    expect(title(page)).to_contain_text("app has a good backup")


def test_a_daemon_that_ends_is_told_at_once(page: Page, served: Served) -> None:
    with page.expect_response("**/live"):
        page.reload()
    served.stop()
    page.clock.run_for(1000)
    expect(page.get_by_role("alert")).to_contain_text(f"The daemon cannot be reached. {OLD}")


def test_records_that_cannot_be_used_are_told(page: Page, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreError("the records cannot be used")

    monkeypatch.setattr(type(served.store.statistics), "recent", broken)
    later(page)
    expect(page.get_by_role("alert")).to_contain_text(f"The daemon says that something is wrong (503). {OLD}")


def test_whoever_is_not_signed_in_any_more_is_told_and_goes_on_once_he_is(page: Page, served: Served) -> None:
    cookies = page.context.cookies()
    words = token(page.content())
    page.context.request.post(
        f"{served.url}/sign-out", form={"token": words}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    later(page)
    told = page.get_by_role("alert")
    expect(told).to_contain_text(f"You are not signed in any more. {OLD}")
    page.context.clear_cookies()
    other = served.visitor()
    page.context.add_cookies([{"name": cookies[0]["name"], "value": other.cookies["backupman"], "url": served.url}])
    with page.expect_request("**/live"):
        later(page)
    expect(told).to_have_count(0)
