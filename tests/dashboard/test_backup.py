"""A backup's page tells everything that is known of it, and its buttons do what they say, for whoever may."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import httpx
import pytest

from backupman.engine.runner import Order
from backupman.manifest import Manifest, TableRows
from backupman.records import Backup, Event, Restore, Status, now
from backupman.retention import FOR_EVER
from tests.dashboard.conftest import Served, token
from tests.dashboard.world import INSTANCE, SLOW, deliveries, past
from tests.e2e.world import wait_for

Post = Callable[..., httpx.Response]


@pytest.fixture
def made(served: Served) -> Backup:
    """A real backup of the one source."""
    app = served.daemon.app
    (backup,) = app.executor.run(app.plans, None, Order(), wait=True).backups
    assert backup.status == Status.FINISHED
    return backup


@pytest.fixture
def post(root: httpx.Client) -> Post:
    """Sends a form of the first page to an address."""

    def send(path: str, **fields: str) -> httpx.Response:
        return root.post(path, data={"token": token(root.get("/").text), **fields})

    return send


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("<main")[1]).split())


def test_it_tells_all_that_is_known(served: Served, root: httpx.Client, made: Backup) -> None:
    text = text_of(root.get(f"/backups/{made.id[:8]}").text)
    for file in made.drive_files:
        assert file.path is not None
        assert file.path in text
        assert f"sha256 {file.sha256}" in text
    name = made.object_name.rsplit("/", 1)[1].removesuffix(".gz")
    assert f"backupman restore {made.id[:8]} --output {name} -c {served.folder / 'config.yml'}" in text
    for words in (
        "Timeline",
        "Dump",
        "disk",
        "offsite",
        "Finished",
        "INFO",
        "Operations",
        "backup_report",
        "Owed",
        "app",
    ):
        assert words in text


def test_what_is_in_it_and_what_changed_stands_there(served: Served, root: httpx.Client) -> None:
    for days, tables in ((2, {"users": 5, "old": 1}), (1, {"users": 1205, "orders": 7})):
        made = past(served.store, "app", now() - timedelta(days=days))
        rows = [TableRows(name=name, rows=count) for name, count in tables.items()]
        served.store.proofs.keep_manifest(made.id, Manifest(provider="sqlite", facts={}, tables=rows))
    text = text_of(root.get(f"/backups/{made.id}").text)
    for words in (
        "2 tables, 1,212 rows",
        "1 gone since the backup before",
        "Gone: old",
        "users 1,205 +1,200",
        "orders 7 new",
    ):
        assert words in text


def test_its_restores_are_told(served: Served, root: httpx.Client) -> None:
    made = past(served.store, "app", now())
    restore = Restore(
        backup_id=made.id, instance=INSTANCE, label="app", source="app", database="app",
        target="app_restored on localhost", operator="me", status=Status.FAILED, error="there is no room",
    )  # fmt: skip
    event = Event(kind="restore_failure", instance=INSTANCE, job="nightly", backup_id=made.id, payload={})
    served.store.restores.begin(restore, lambda _: (event, []))
    text = text_of(root.get(f"/backups/{made.id}").text)
    for words in ("Restores", "app_restored on localhost", "there is no room", "me"):
        assert words in text


def test_names_among_what_is_known_of_a_dump_are_listed(served: Served, root: httpx.Client) -> None:
    made = past(served.store, "app", now(), facts={"roles": '["ada", "grace"]', "odd": "[no list"})
    text = text_of(root.get(f"/backups/{made.id}").text)
    assert "Roles ada, grace" in text
    assert "Odd [no list" in text


def test_latest_and_a_beginning_are_names_too(root: httpx.Client, made: Backup) -> None:
    pages = {root.get(f"/backups/{name}").text.split("<main")[1] for name in ("latest", made.id, made.id[:6])}
    assert len({re.sub(r"data-(since|age)>[^<]*", "", page) for page in pages}) == 1
    assert root.get("/backups/nothing").status_code == 404


def test_every_attempt_of_a_delivery_is_told(served: Served, root: httpx.Client, made: Backup) -> None:
    deliveries(served.store)
    deliveries(served.store)
    text = text_of(root.get(f"/backups/{made.id}").text)
    assert "200 OK" in text or "out of paper" in text


def test_a_failed_one_says_why_and_can_be_retried(served: Served, root: httpx.Client, post: Post) -> None:
    failed = past(served.store, "app", now(), status=Status.FAILED, error="app: the disk was full: make room")
    assert "app: the disk was full: make room" in text_of(root.get(f"/backups/{failed.id}").text)
    answer = post(f"/backups/{failed.id}/retry")
    assert answer.status_code == 303
    served.idle()
    page = root.get(answer.headers["Location"])
    assert page.status_code == 200
    assert "The retry was started." in page.text


def test_what_cannot_be_done_is_said_on_a_page(post: Post, made: Backup) -> None:
    refused = post(f"/backups/{made.id}/retry")
    assert (refused.status_code, "only a failed one is retried" in refused.text) == (409, True)
    refused = post(f"/backups/{made.id}/cancel")
    assert (refused.status_code, "not under way here" in refused.text) == (409, True)


def test_the_download_is_what_the_drive_holds(root: httpx.Client, post: Post, made: Backup) -> None:
    for name in (made.id, made.drive_files[1].id):
        link = post(f"/backups/{name}/download")
        assert link.status_code == 303
        loaded = root.get(link.headers["Location"])
        assert (loaded.status_code, len(loaded.content)) == (200, made.stored_size)


def test_the_download_goes_through_the_path_of_a_proxy(configured: Served) -> None:
    configured.config["http"]["app_url"] = "https://example.com/bm"
    configured.start()
    app = configured.daemon.app
    (made,) = app.executor.run(app.plans, None, Order(), wait=True).backups
    visitor = configured.visitor(below="/bm")
    link = visitor.post(f"/bm/backups/{made.id}/download", data={"token": token(visitor.get("/bm/").text)})
    assert link.headers["Location"].startswith(f"/bm/api/backups/{made.drive_files[0].id}/download?expires=")
    assert visitor.get(link.headers["Location"]).status_code == 200


def test_copies_are_read_back_on_demand(served: Served, root: httpx.Client, post: Post, made: Backup) -> None:
    assert text_of(root.get(f"/backups/{made.id}").text).count("never") == 2
    assert post(f"/backups/{made.id}/verify").headers["Location"] == f"/backups/{made.id}?done=verifying"
    wait_for(lambda: all(file.verified_at for file in served.store.backups.get(made.id).drive_files))
    assert text_of(root.get(f"/backups/{made.id}").text).count(", right") == 2


def test_a_copy_is_looked_at_as_far_as_was_chosen(served: Served, root: httpx.Client, post: Post, made: Backup) -> None:
    page = root.get(f"/backups/{made.id}").text
    assert re.findall(r'<option value="(\w+)">(?:every|the whole|by a)', page) == ["checksum", "structure", "restore"]
    assert post(f"/backups/{made.id}/verify", level="at a glance").status_code == 422
    assert post(f"/backups/{made.id}/verify", level="structure").status_code == 303
    wait_for(lambda: len(served.store.proofs.verifications(made.id)) == 2)
    assert {check.level for check in served.store.proofs.verifications(made.id)} == {"structure"}
    wait_for(lambda: not served.daemon.verifying.is_asked(made))
    assert "Reading back" not in root.get(f"/backups/{made.id}").text


def test_it_is_restored_into_a_new_database(served: Served, root: httpx.Client, post: Post, made: Backup) -> None:
    assert post(f"/backups/{made.id}/restore", database="copy").headers["Location"].endswith("?done=restoring")
    wait_for(lambda: [each.status for each in served.store.restores.list(made.id)] == [Status.FINISHED], 60)
    with closing(sqlite3.connect(served.folder / "copy.db")) as copy:
        assert copy.execute("select name from users order by name").fetchall() == [("Ada",), ("Grace",)]
    text = text_of(root.get(f"/backups/{made.id}").text)
    assert f"{served.folder}/copy.db" in text
    assert post(f"/backups/{made.id}/restore", database="copy").status_code == 303  # which is there now
    wait_for(lambda: {each.status for each in served.store.restores.list(made.id)} == {"finished", "failed"}, 60)
    assert str(served.store.restores.list(made.id)[0].error) in text_of(root.get(f"/backups/{made.id}").text)
    done = served.store.restores.list(made.id)[-1].id
    assert post(f"/restores/{done}/cancel").status_code == 409


@pytest.mark.parametrize(("days", "least"), [("30", 29), ("365", 364), ("", None), ("7", None)])
def test_it_is_pinned_and_unpinned(served: Served, post: Post, made: Backup, days: str, least: int | None) -> None:
    assert post(f"/backups/{made.id}/pin", days=days).status_code == 303
    until = served.store.backups.get(made.id).pinned_until
    assert until
    assert until == FOR_EVER if least is None else timedelta(least) < until - now() < timedelta(least + 2)
    assert post(f"/backups/{made.id}/unpin").status_code == 303
    assert served.store.backups.get(made.id).pinned_until is None


def test_it_is_deleted_when_its_id_is_typed(served: Served, root: httpx.Client, post: Post, made: Backup) -> None:
    page = root.get(f"/backups/{made.id}").text
    assert "this is the last good backup" in text_of(page)
    assert f"/backups/{made.id}/delete" not in page
    app = served.daemon.app
    app.executor.run(app.plans, None, Order(), wait=True)
    assert f"/backups/{made.id}/delete" in root.get(f"/backups/{made.id}").text
    for typed in ("", "latest", made.id[:7]):
        refused = post(f"/backups/{made.id}/delete", confirm=typed)
        assert (refused.status_code, "nothing was deleted" in refused.text) == (422, True)
    answer = post(f"/backups/{made.id}/delete", confirm=f" {made.id[:8]}")
    assert answer.headers["Location"] == "/backups?done=deleted"
    assert "The backup was deleted" in root.get(answer.headers["Location"]).text
    assert root.get(f"/backups/{made.id}").status_code == 404


@pytest.mark.parametrize(
    ("key", "buttons"),
    [("read", set()), ("operator", {"download", "verify"}), ("root", {"download", "verify", "pin", "restore"})],
)
def test_only_what_a_key_may_do_is_offered_and_taken(served: Served, made: Backup, key: str, buttons: set[str]) -> None:
    visitor = served.visitor(key)
    page = visitor.get(f"/backups/{made.id}").text
    assert set(re.findall(rf'action="/backups/{made.id}/(\w+)"', page)) == buttons
    forbidden = {
        "read": {"download", "verify", "retry", "cancel", "pin", "unpin", "restore", "delete"},
        "operator": {"pin", "restore", "delete"},
    }
    for deed in forbidden.get(key, set()):
        answer = visitor.post(f"/backups/{made.id}/{deed}", data={"token": token(page)})
        assert (answer.status_code, "lacks the scope" in answer.text) == (403, True)


def test_no_deed_is_done_without_the_forms_token(root: httpx.Client, served: Served, made: Backup) -> None:
    for deed in ("download", "verify", "pin", "unpin", "retry", "cancel", "restore", "delete"):
        assert root.post(f"/backups/{made.id}/{deed}").status_code == 403
    assert root.post("/backups", data={"job": "nightly"}).status_code == 403
    assert served.store.backups.get(made.id).pinned_until is None
    assert len(served.store.backups.list()) == 1


def test_a_running_one_is_cancelled(configured: Served) -> None:
    slow = {"provider": "command", "label": "slow", "argv": SLOW, "database": "slow", "suffix": ".txt"}
    configured.config["data_sources"].append(slow)
    visitor = configured.start().visitor()
    words = {"token": token(visitor.get("/").text)}
    started = visitor.post("/backups", data={**words, "source": "slow"})
    assert started.status_code == 303
    backup_id = started.headers["Location"].split("/")[2].split("?")[0]
    wait_for(lambda: configured.daemon.live.running()[0]["Read"] > 0)
    page = visitor.get(f"/backups/{backup_id}").text
    assert f'data-id="{backup_id}"' in page
    assert visitor.post(f"/backups/{backup_id}/cancel", data=words).status_code == 303
    wait_for(lambda: configured.store.backups.get(backup_id).status == Status.FAILED)
    assert "slow: cancelled by" in visitor.get(f"/backups/{backup_id}").text


def test_one_of_another_installation_is_shown_and_left_alone(served: Served, root: httpx.Client) -> None:
    other = past(served.store, "app", now(), status=Status.FAILED, error="no")
    served.store.backups.change(other.id, instance=f"not-{INSTANCE}")
    page = root.get(f"/backups/{other.id}").text
    assert "/retry" not in page
    assert "/verify" not in page
