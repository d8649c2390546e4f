"""Nobody sees a page without a key that may read; a visit ends, and no form of another's is taken."""

import re
from itertools import islice
from pathlib import Path

import httpx
import pytest

from backupman.api.keys import identify
from backupman.api.secret import Secret
from backupman.config.http import ApiKey, Http
from backupman.dashboard.sessions import LIFETIME, Sessions
from backupman.records import now
from tests.dashboard.conftest import Served, token
from tests.dashboard.world import KEYS, past

ONE = ApiKey(name="me", key="bm_secret", scopes=["read"])


def test_whoever_is_not_signed_in_is_sent_to_do_so_and_then_goes_on(served: Served) -> None:
    visitor = served.visitor(None)
    sent = visitor.get("/?page=1")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/sign-in")
    form = visitor.get("/sign-in", params={"next": "/backups?status=failed"}).text
    answer = visitor.post(
        "/sign-in", data={"token": token(form), "key": KEYS["read"], "next": "/backups?status=failed"}
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/backups?status=failed")
    assert visitor.get("/").status_code == 200
    again = visitor.get("/sign-in")
    assert (again.status_code, again.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "/sign-out", "javascript:1"]
)
def test_the_way_on_never_leads_elsewhere(served: Served, target: str) -> None:
    visitor = served.visitor(None)
    words = {"token": token(visitor.get("/sign-in").text), "key": KEYS["read"], "next": target}
    assert visitor.post("/sign-in", data=words).headers["Location"] == "/"


def test_the_cookie_is_for_the_server_alone_and_holds_no_key(served: Served) -> None:
    visitor = served.visitor(None)
    words = {"token": token(visitor.get("/sign-in").text), "key": KEYS["root"]}
    cookie = visitor.post("/sign-in", data=words).headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LIFETIME}"))
    assert KEYS["root"] not in cookie
    assert "Secure" not in cookie  # over http on this machine a browser would not keep it


def test_the_cookie_is_secure_where_tls_is_spoken(configured: Served) -> None:
    configured.config["http"]["trusted_proxies"] = ["127.0.0.1"]
    visitor = configured.start().visitor(None, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in visitor.get("/sign-in").headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("key", "status"), [("bm_not-a-key", 401), ("", 401), (KEYS["ingest"], 403), (KEYS["run"], 403)]
)
def test_only_a_key_that_may_read_opens(served: Served, key: str, status: int) -> None:
    visitor = served.visitor(None)
    answer = visitor.post("/sign-in", data={"token": token(visitor.get("/sign-in").text), "key": key})
    assert answer.status_code == status
    assert "Set-Cookie" not in answer.headers
    assert key not in answer.text or not key
    assert visitor.get("/").status_code == 303


def test_guessing_is_refused_after_a_while(served: Served) -> None:
    visitor = served.visitor(None)
    words = {"token": token(visitor.get("/sign-in").text), "key": "guess"}
    answers = [visitor.post("/sign-in", data=words) for _ in range(31)]
    assert {answer.status_code for answer in answers[:30]} == {401}
    assert (answers[-1].status_code, "Wait a minute" in answers[-1].text) == (429, True)
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_signing_out_ends_the_visit_also_for_a_copy_of_the_cookie(served: Served) -> None:
    visitor = served.visitor()
    copied = dict(visitor.cookies)
    answer = visitor.post("/sign-out", data={"token": token(visitor.get("/").text)})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert visitor.get("/").status_code == 303
    thief = served.visitor(None, cookies=copied)
    assert thief.get("/").status_code == 303


def test_signing_out_ends_what_is_told_to_an_open_page(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.api.jobs.ASK_EVERY", 0.1)
    visitor = served.visitor()
    with visitor.stream("GET", "/live") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": welcome"
        visitor.post("/sign-out", data={"token": token(visitor.get("/").text)})
        assert list(islice(lines, 3)) == [""]


@pytest.mark.parametrize("given", [{}, {"token": ""}, {"token": "0" * 64}, {"token": "ß"}])
def test_a_form_that_is_not_ours_is_refused(served: Served, given: dict[str, str]) -> None:
    visitor = served.visitor()
    assert visitor.post("/sign-out", data=given).status_code == 403
    assert visitor.get("/").status_code == 200


def test_a_form_of_another_visit_or_from_another_site_is_refused(served: Served) -> None:
    mine, other = served.visitor(), served.visitor("read")
    assert mine.post("/sign-out", data={"token": token(other.get("/").text)}).status_code == 403
    own = {"token": token(mine.get("/").text)}
    assert mine.post("/sign-out", data=own, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert mine.post("/sign-out", data=own, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_a_key_that_left_the_config_opens_nothing_more(served: Served) -> None:
    visitor = served.visitor("read")
    served.config["http"]["api_keys"] = [key for key in served.config["http"]["api_keys"] if "read" not in str(key)]
    served.write()
    served.daemon.reload()
    assert visitor.get("/").status_code == 303


def test_a_visit_is_over_after_its_time(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    sessions = Sessions(Secret(tmp_path), lambda: clock[0])
    caller = identify([ONE], b"bm_secret")
    cookie = sessions.begin(caller)
    clock[0] += LIFETIME - 1
    visit = sessions.read(cookie, [ONE])
    assert visit
    assert (visit.caller, visit.may("read"), visit.may("run")) == (caller, True, False)
    clock[0] += 1
    assert sessions.read(cookie, [ONE]) is None


def test_a_cookie_is_good_after_a_restart_and_only_here(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    cookie = Sessions(Secret(tmp_path)).begin(identify([ONE], b"bm_secret"))
    assert Sessions(Secret(tmp_path)).read(cookie, [ONE])
    assert Sessions(Secret(tmp_path / "elsewhere")).read(cookie, [ONE]) is None


def test_a_changed_cookie_is_none(tmp_path: Path) -> None:
    sessions = Sessions(Secret(tmp_path))
    nobody, somebody = sessions.begin(), sessions.begin(identify([ONE], b"bm_secret"))
    identity, nonce, expires, signature = somebody.split(".")
    changed = [
        f"{identity}.{nonce}.{int(expires) + 1}.{signature}",
        f"{identity}.{nobody.split('.', 1)[1]}",
        f"{identity}.{nonce}.{expires}",
        f"{somebody}.",
        "",
        "...",
        "ß",
    ]
    assert [cookie for cookie in changed if sessions.read(cookie, [ONE])] == []
    assert sessions.read(somebody, []) is None


def test_without_any_key_the_page_says_how_to_make_one(configured: Served) -> None:
    configured.config["http"] = {}
    page = configured.start().visitor(None).get("/sign-in")
    assert page.status_code == 200
    assert "backupman key new --kind api" in page.text
    assert "<input id" not in page.text


def test_it_can_be_turned_off(configured: Served) -> None:
    configured.config["http"]["dashboard"] = False
    visitor = configured.start().visitor(None)
    for path in ("/", "/sign-in", "/static/look.css"):
        assert visitor.get(path).status_code == 404
    assert visitor.get("/ping").status_code == 200


@pytest.mark.parametrize("stripped", [True, False])
def test_a_proxy_may_show_it_below_a_path_and_may_take_that_off_or_not(configured: Served, *, stripped: bool) -> None:
    configured.config["http"]["base_path"] = "/ops/backups/"
    visitor = configured.start().visitor(None)
    before = "" if stripped else "/ops/backups"
    sent = visitor.get(f"{before}/")
    assert sent.headers["Location"] == "/ops/backups/sign-in"
    page = visitor.get(f"{before}/sign-in")
    assert "Path=/ops/backups/" in page.headers["Set-Cookie"]
    links = re.findall(r'(?:href|src|action)="([^"#][^"]*)', page.text)
    assert len(links) >= 4
    assert [link for link in links if not link.startswith("/ops/backups/")] == []
    assert visitor.get(f"{before}/ping").json() == {"message": "pong"}
    style = next(link for link in links if "look.css" in link)
    assert visitor.get(style.removeprefix("/ops/backups") if stripped else style).status_code == 200


class Stripping(httpx.HTTPTransport):
    """A proxy that takes its path off."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path.encode()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path.startswith(self._path)
        request.url = request.url.copy_with(raw_path=request.url.raw_path.removeprefix(self._path))
        return super().handle_request(request)


@pytest.mark.parametrize("stripped", [True, False])
@pytest.mark.parametrize("path", ["/backups", "/events", "/jobs", "/ops/backups"])
def test_the_path_may_be_one_that_pages_have(configured: Served, path: str, *, stripped: bool) -> None:
    configured.config["http"]["base_path"] = path
    served = configured.start()
    visitor = served.visitor(below=path, transport=Stripping(path) if stripped else None)
    made = past(served.store, "app", now())
    of_event = served.store.outbox.events_after(0, 1)[0].id
    shown = {
        "/": "Overview",
        "/backups": "History",
        "/backups?status=finished": "History",
        f"/backups/{made.id}": "app",
        "/backups/latest": "app",
        "/events": "Events",
        f"/events/{of_event}": "backup_report",
        "/jobs": "Jobs",
    }
    for page, title in shown.items():
        answer = visitor.get(path + page)
        assert (answer.status_code, f"<title>{title} ·" in answer.text) == (200, True), page
    for nothing in ("/nothing", "/backups/nothing", "/backups/nothing/nothing"):
        assert visitor.get(path + nothing).status_code == 404
    with_key = {"X-Api-Key": KEYS["root"]}
    assert visitor.get(f"{path}/api/backups/{made.id}", headers=with_key).json()["Id"] == made.id


def test_the_path_is_that_of_the_address_unless_it_is_said() -> None:
    assert Http().path() == ""
    assert Http(app_url="https://example.com/bm/").path() == "/bm"
    assert Http(app_url="https://example.com/bm/", base_path="/").path() == ""
    assert Http(base_path="x/y").path() == "/x/y"


def test_a_signature_of_something_else_is_no_cookies(tmp_path: Path) -> None:
    """Links have the same secret."""
    secret, words = Secret(tmp_path), f"-.nonce.{10**12}"
    assert Sessions(secret).read(f"{words}.{secret.sign(words)}", [ONE]) is None
    genuine = secret.sign(f"visit\n{words}")
    assert Sessions(secret).read(f"{words}.{genuine}", [ONE])
