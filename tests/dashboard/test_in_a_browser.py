"""The dashboard as people have it: a real Chromium, a daemon that works, and backups that run while somebody looks."""

import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, Route, expect

from backupman.engine.runner import Order
from backupman.errors import NotFoundError
from backupman.records import DeliveryState, Status, now
from tests.dashboard.conftest import Served
from tests.dashboard.world import HOSTILE, KEYS, configuration, hostile, pages, past
from tests.e2e.world import wait_for
from tests.servers.browser import axe
from tests.servers.receiver import Receiver

pytestmark = pytest.mark.service("browser")

GATED = """
echo begun
i=0
while [ ! -e {gate} ] && [ $i -lt 1200 ]; do head -c 100000 /dev/urandom; sleep 0.1; i=$((i+1)); done
"""
SECONDS = 60_000
"""Milliseconds that anything on a page may take: the machine may be busy."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A daemon with a past, and a source whose dump goes on until a file is there."""
    folder, receiver = tmp_path_factory.mktemp("dashboard"), Receiver()
    served = Served(folder)
    served.config = configuration(folder, receiver.url, "app")
    script = GATED.format(gate=folder / "gate")
    gated = {"provider": "command", "label": "gated", "argv": ["sh", "-c", script], "suffix": ".txt"}
    served.config["data_sources"].append(gated | {"database": "gated"})
    harm = {"provider": "sqlite", "label": HOSTILE[:200], "db_path": str(folder / "app.db")}
    served.config["data_sources"].append(harm)
    served.start(scheduling=True)
    hostile(served.store)
    for number in range(60):
        status = Status.FAILED if number == 1 else Status.FINISHED
        past(served.store, "app", now(), status=status, error="app: <b>no</b>" if number == 1 else None)
    yield served
    served.stop()
    receiver.close()


@pytest.fixture
def told(browser: Browser, served: Served) -> Iterator[tuple[Page, list[str]]]:
    """A page of nobody yet, and everything that it complains about or asks elsewhere."""
    expect.set_options(timeout=SECONDS)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def broke(error: Error) -> None:
        complaints.append(str(error))

    def asked(request: Request) -> None:
        if not request.url.startswith(served.url):
            complaints.append(request.url)

    page.on("console", heard)
    page.on("pageerror", broke)
    page.on("request", asked)
    yield page, complaints
    context.close()


@pytest.fixture
def page(told: tuple[Page, list[str]], served: Served) -> Iterator[Page]:
    """A page of somebody who may do everything; it may have nothing to complain about at the end."""
    page, complaints = told
    page.goto(f"{served.url}/sign-in")
    page.get_by_label("API key").fill(KEYS["root"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    yield page
    assert complaints == []


def begin(page: Page, served: Served, gate: Path) -> str:
    """Start the gated source as somebody else would, while the page is open; the id."""
    gate.unlink(missing_ok=True)
    app = served.daemon.app
    call = app.executor.start(app.plans, ["gated"], Order(trigger="test"), wait=True)
    return call.ids(60)[0]


def test_a_backup_is_seen_to_run_to_its_end(page: Page, served: Served) -> None:
    gate = served.folder / "gate"
    backup_id = begin(page, served, gate)
    card = page.locator(f'[data-id="{backup_id}"]')
    expect(card).to_be_visible()
    expect(card.locator("[data-phase]")).to_have_text("dumping")
    expect(card.locator("[data-read]")).to_have_text(re.compile(r"^[\d.]+ [KM]iB$"))
    expect(card.locator("[data-rate]")).to_have_text(re.compile(r"/s$"))
    before = card.locator("[data-read]").inner_text()
    expect(card.locator("[data-read]")).not_to_have_text(before)
    expect(card.locator('[data-drive="disk"]')).to_be_visible()
    gate.touch()
    expect(card).to_have_count(0)
    line = page.locator("li.row", has_text="gated")
    expect(line).to_contain_text("Finished")
    assert served.store.backups.get(backup_id).status == Status.FINISHED


def test_a_running_backup_is_cancelled_and_then_retried(page: Page, served: Served) -> None:
    gate = served.folder / "gate"
    backup_id = begin(page, served, gate)
    page.goto(f"{served.url}/backups/{backup_id}")
    expect(page.locator("[data-read]")).to_have_text(re.compile("[KM]iB$"))
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    trouble = page.get_by_role("region", name="What went wrong")
    expect(trouble).to_contain_text("cancelled by")
    gate.touch()
    served.idle()
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status")).to_contain_text("The retry was started.")
    expect(page.locator("header.title .state")).to_have_text("Finished")
    expect(trouble).to_have_count(0)


def test_what_ends_before_the_stream_begins_is_seen_to_have_ended(page: Page, served: Served) -> None:
    gate, held = served.folder / "gate", list[Route]()
    backup_id = begin(page, served, gate)
    page.route("**/live", lambda route: held.append(route))
    with page.expect_request("**/live"):
        page.goto(f"{served.url}/backups/{backup_id}")
    expect(page.locator(f'[data-id="{backup_id}"]')).to_be_visible()
    gate.touch()
    wait_for(lambda: served.store.backups.get(backup_id).status == Status.FINISHED, 60)
    held[0].continue_()
    expect(page.locator("header.title .state")).to_have_text("Finished")
    expect(page.locator(f'[data-id="{backup_id}"]')).to_have_count(0)


def test_a_backup_is_deleted_by_typing_its_id_and_by_nothing_else(page: Page, served: Served) -> None:
    app = served.daemon.app
    (backup_id,) = app.executor.start(app.plans, ["app"], Order(trigger="test"), wait=True).ids(60)
    served.idle()
    copies = [Path(file.path or "") for file in served.store.backups.get(backup_id).drive_files]
    page.goto(f"{served.url}/backups/{backup_id}")
    field = page.get_by_label(f"Type {backup_id[:8]} to delete it")
    for wrong in ("delete", f"{backup_id[:7]}!"):
        field.fill(wrong)
        page.get_by_role("button", name="Delete").click()
        expect(field).to_be_focused()  # where the browser says what is wanted
        assert field.evaluate("field => field.validationMessage")
    assert [copy.exists() for copy in copies] == [True, True]
    field.fill(backup_id[:8])
    field.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The backup was deleted")
    expect(page.get_by_role("heading", level=1)).to_have_text("History")
    assert [copy.exists() for copy in copies] == [False, False]
    with pytest.raises(NotFoundError):
        served.store.backups.get(backup_id)


def test_a_delivery_is_followed_to_its_answer_and_told_again(page: Page, served: Served) -> None:
    made = past(served.store, "app", now(), endpoints=("webhook/Operations",))

    def arrived() -> list[bool]:
        return [each.state == DeliveryState.DELIVERED for each in served.store.outbox.deliveries(backup_id=made.id)]

    wait_for(lambda: arrived() == [True])
    page.goto(f"{served.url}/backups/{made.id}")
    page.get_by_role("region", name="Deliveries").get_by_role("link", name="backup_report").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("backup_report")
    expect(page.get_by_label("Payload")).to_contain_text(made.id)
    page.locator("summary", has_text="200").click()
    expect(page.locator("ol.attempts li")).to_contain_text("200")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Tell again").click()
    expect(page.get_by_role("status")).to_contain_text("owed again")
    wait_for(lambda: arrived() == [True, True])
    page.reload()
    expect(page.locator("td .state", has_text="Delivered")).to_have_count(2)


def test_the_history_is_filtered_and_paged(page: Page, served: Served) -> None:
    page.get_by_role("link", name="History").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    assert 0 < rows.count() < 50
    page.get_by_label("Status").select_option("Failed")
    page.get_by_label("Search").fill("app")
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(1)
    assert "status=failed" in page.url
    expect(rows).to_contain_text("app: <b>no</b>")
    rows.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("app")


def test_it_is_used_by_the_keyboard_alone(told: tuple[Page, list[str]], served: Served) -> None:
    page, _ = told
    page.goto(f"{served.url}/backups?status=failed")
    page.keyboard.type(KEYS["read"])  # the field has the focus
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("History")
    assert "status=failed" in page.url
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search")).to_be_focused()
    for _press in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('td a.label')"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("app|gated"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_out(page: Page, served: Served, scheme: str) -> None:
    source = axe()
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    for name, path in pages(served.store).items():
        page.goto(served.url + path)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(19, 20, 22)") == (scheme == "dark")
        page.evaluate(source)
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
        grave = [
            (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert grave == [], name


@pytest.mark.parametrize("width", [360, 768, 1100, 1280, 1400, 2000])
def test_no_page_is_wider_than_the_window(page: Page, served: Served, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for name, path in pages(served.store).items():
        page.goto(served.url + path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_moves_while_a_page_is_loaded(page: Page, served: Served, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.route("**/live", lambda _: None)  # what happens later may move something
    page.add_init_script(
        "window.moved = []; new PerformanceObserver(list => moved.push(...list.getEntries().map(each => each.value)))"
        ".observe({ type: 'layout-shift', buffered: true })"
    )
    for name, path in pages(served.store).items():
        page.goto(served.url + path)
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert sum(page.evaluate("moved")) < 0.01, name  # a second that passes may make a span of time longer


def test_times_are_the_readers_own_and_utc_stands_behind_them(browser: Browser, served: Served) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.goto(f"{served.url}/sign-in")
    page.get_by_label("API key").fill(KEYS["read"])
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{served.url}/backups/latest")
    time = page.locator("header.title time")
    began = served.store.backups.get("latest").created_at
    expect(time).to_have_attribute("title", f"{began:%Y-%m-%d %H:%M:%S} UTC")
    there = began.astimezone(ZoneInfo("Asia/Kolkata"))
    expect(time).to_have_text(f"{there:%d %b %H:%M}")
    context.close()
