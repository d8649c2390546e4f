"""The first page: its sentence is true, and its lines tell what is known."""

import re
from datetime import timedelta

import httpx
import pytest

from backupman.dashboard.figures import strip, trend
from backupman.dashboard.headline import Sentence, sentence
from backupman.dashboard.series import KnownSeries
from backupman.dashboard.standing import rows
from backupman.events import EventKind
from backupman.records import Incident, Status, Verification, now
from backupman.store.ingest import Recipient, Reported
from backupman.store.jobs import Changes
from backupman.store.statistics import Past
from tests.dashboard.conftest import Served
from tests.dashboard.world import INSTANCE, configuration, past

HOUR = timedelta(hours=1)
ALL_OF_ORDERS = "All copies of the backup of orders are"


def said(served: Served) -> Sentence:
    return sentence(rows(served.daemon, KnownSeries(served.daemon)))


@pytest.fixture
def two(configured: Served) -> Served:
    """A daemon with the sources `orders` and `shop`."""
    configured.config = configuration(configured.folder, "http://127.0.0.1:9", "orders", "shop")
    return configured.start()


def test_before_the_first_backup_it_says_so(two: Served) -> None:
    assert said(two) == Sentence("none", "No backup has been made yet")
    past(two.store, "shop", now() - HOUR)
    assert said(two) == Sentence("warn", "1 of 2 have no backup yet", "orders")


def test_before_the_first_backup_it_tells_what_to_do(root: httpx.Client) -> None:
    page = root.get("/").text
    assert "No backup has been made yet" in page
    assert "backupman config check" in page


def test_all_good_is_said_with_the_age_of_the_oldest(two: Served) -> None:
    past(two.store, "shop", now() - HOUR * 3.5)
    past(two.store, "orders", now() - HOUR * 20.5)
    good = "All 2 databases have a good backup younger than 21 h"
    assert said(two) == Sentence("ok", good, "no copy was ever read back")
    past(two.store, "shop", now() - HOUR * 2, verified=True)
    assert said(two) == Sentence("ok", good, "1 of 2 read back, none proven by a drill")
    past(two.store, "shop", now() - HOUR, proved=True)
    assert said(two) == Sentence("ok", good, "1 of 2 proven by a drill, 1 read back")


def test_a_copy_is_proven_only_while_nothing_is_wrong_with_it(two: Served) -> None:
    past(two.store, "shop", now() - HOUR, proved=True)
    made = past(two.store, "orders", now() - HOUR * 5.5, proved=True)
    assert said(two) == Sentence("ok", "All 2 databases have a proven copy younger than 6 h")
    for file, damaged in zip(
        made.drive_files, ("A copy of the backup of orders on disk is", ALL_OF_ORDERS), strict=True
    ):
        found = Verification(
            backup_id=made.id,
            instance=INSTANCE,
            drive=file.label,
            level="checksum",
            good=False,
            error="other bytes",
            at=now(),
            seconds=1.0,
        )
        two.store.proofs.verified(found, file.id)
        assert said(two) == Sentence("bad", f"{damaged} damaged", "it was made 5 h 30 min ago")
    assert {row.label: row.state for row in rows(two.daemon, KnownSeries(two.daemon))} == {
        "orders": "bad",
        "shop": "ok",
    }


def test_the_time_of_the_drill_is_the_time_that_one_would_wait(served: Served, root: httpx.Client) -> None:
    made = past(served.store, "app", now() - HOUR, proved=True)
    for number, seconds in enumerate((99.0, 41.0)):
        drill = Verification(
            backup_id=made.id, instance=INSTANCE, drive="disk", level="restore", seconds=60.0, good=True,
            at=now() + timedelta(seconds=number),
            details={"RestoreSeconds": seconds, "Tables": 3, "Rows": 12_345, "Compared": True},
        )  # fmt: skip
        served.store.proofs.verified(drill, made.drive_files[0].id)
    assert "restored in 41 s" in root.get("/").text
    page = " ".join(re.sub(r"<[^>]+>", " ", root.get(f"/backups/{made.id}").text).split())
    assert "drill" in page
    assert "restored in 41 s, 3 tables, 12,345 rows, compared with the dump" in page


def test_a_failure_is_said_with_what_is_left(two: Served) -> None:
    past(two.store, "shop", now() - HOUR)
    past(two.store, "orders", now() - HOUR * 50)
    past(two.store, "orders", now() - HOUR, status=Status.FAILED, error="orders: no")
    assert said(two) == Sentence("bad", "The last backup of orders failed; its newest good one is 2 days old")


def test_a_failure_without_any_good_one_says_that(two: Served) -> None:
    past(two.store, "orders", now() - HOUR, status=Status.FAILED, error="orders: no")
    assert said(two) == Sentence("bad", "The last backup of orders failed; it has no good one")


def test_a_deadline_that_does_not_hold_is_said(two: Served) -> None:
    past(two.store, "shop", now() - HOUR)
    past(two.store, "orders", now() - HOUR * 73)
    late = Incident(
        instance=INSTANCE, kind=EventKind.BACKUP_LATE, job="nightly", source="orders", database="orders",
        due_at=now(), opened_at=now(), reminded_at=now(),
    )  # fmt: skip
    two.store.jobs.change_incidents(Changes(opened=[late]), now())
    assert said(two) == Sentence("bad", "orders has had no good backup for 3 days")


def test_an_incident_of_a_queue_or_an_endpoint_is_none_of_a_source_of_that_name(two: Served) -> None:
    for source in ("shop", "orders"):
        past(two.store, source, now() - HOUR)
    for kind in (EventKind.QUEUE_UNATTENDED, EventKind.ALARM_DRILL_FAILURE):
        other = Incident(
            instance=INSTANCE, kind=kind, job="", source="shop", database="",
            due_at=now(), opened_at=now(), reminded_at=now(),
        )  # fmt: skip
        two.store.jobs.change_incidents(Changes(opened=[other]), now())
    assert said(two).tone == "ok"


def test_several_that_need_somebody_are_named(two: Served) -> None:
    for source in ("shop", "orders"):
        past(two.store, source, now() - HOUR, status=Status.FAILED, error=f"{source}: no")
    assert said(two) == Sentence("bad", "2 of 2 need attention", "orders, shop")


def test_a_source_that_could_not_be_asked_is_said_until_it_could(two: Served) -> None:
    def asked(hours: int, *databases: str, status: Status = Status.FINISHED) -> None:
        for database in databases:
            past(two.store, "shop", now() - HOUR * hours, status=status, error="no" if status == "failed" else None)
            two.store.backups.change(two.store.backups.list(limit=1)[0].id, database=database)

    past(two.store, "orders", now() - HOUR * 9)
    asked(8, "a", "b")
    assert said(two).tone == "ok"
    asked(7, "", status=Status.FAILED)
    assert said(two).text.startswith("The last backup of shop failed")
    asked(6, "a", "b")
    assert {row.label for row in rows(two.daemon, KnownSeries(two.daemon))} == {"orders", "shop/a", "shop/b"}
    assert said(two).tone == "ok"


def test_a_database_that_is_gone_is_no_more_spoken_of(two: Served) -> None:
    past(two.store, "orders", now() - HOUR)
    for hours, databases in ((100, "ab"), (4, "a"), (3, "a"), (2, "a")):
        labels = {row.label for row in rows(two.daemon, KnownSeries(two.daemon))}
        assert hours == 100 or "shop/b" in labels  # so far it may only be late
        for database in databases:
            made = past(two.store, "shop", now() - HOUR * hours)
            two.store.backups.change(made.id, database=database)
    assert said(two).text == "All 2 databases have a good backup younger than 3 h"


def test_jobs_of_other_machines_stand_by_their_device(served: Served, root: httpx.Client) -> None:
    past(served.store, "app", now() - HOUR, proved=True)
    for device, job in (("web-1", "rsync"), ("nas", "snapshots"), ("nas", "smart")):
        served.store.ingest.backup(Reported(device, job, now() - HOUR, "success", "fine"), Recipient(INSTANCE))
    page = root.get("/").text
    assert re.findall(r"(?:This installation|Told by) <bdi>([^<]+)", page) == [INSTANCE, "nas", "web-1"]
    assert "app has a proven copy younger than 2 h" in page
    assert "the 3 jobs of other machines are good, too" in page


def test_a_new_job_of_another_machine_is_seen_at_once(served: Served, root: httpx.Client) -> None:
    assert "rsync" not in root.get("/").text
    for job, status in (("rsync", "success"), ("copy", "failed")):
        served.store.ingest.backup(Reported("web-1", job, now(), status, "so it was"), Recipient(INSTANCE))
    page = root.get("/").text
    assert re.findall(r"Told by <bdi>([^<]+)", page) == ["web-1"]
    for job in ("rsync", "copy"):
        assert f"<bdi>{job}</bdi>" in page


def test_a_line_tells_what_is_known(configured: Served) -> None:
    configured.start(scheduling=True)
    for night in range(3):
        past(configured.store, "app", now() - timedelta(days=night, hours=1), size=2**20, verified=night == 2)
    line = configured.visitor().get("/").text.split('class="row ')[1]
    text = " ".join(re.sub(r"<[^>]+>", " ", line).split())
    for words in (
        "app",
        "nightly",
        "Finished 1 h ago",
        "took 12 s",
        "due again by",
        "1.0 MiB",
        "disk 3",
        "offsite 3",
        "in ",
    ):
        assert words in text
    assert "the last 3 runs: 3 good" in line
    assert "read back" in text


def test_what_is_settled_on_record_is_not_under_way(served: Served, root: httpx.Client) -> None:
    for status, shown in ((Status.FAILED, False), (Status.FINISHED, False), (Status.PENDING, True)):
        made = past(served.store, "app", now(), status=status)
        served.daemon.live.began(made)  # its end is told a moment after it was recorded
        assert (f'data-id="{made.id}"' in root.get("/").text) == shown
        served.daemon.live.ended(made)


def test_an_unread_key_sees_nothing_that_it_may_not_do(served: Served) -> None:
    page = served.visitor("read").get("/").text
    assert "Config" not in page
    assert "Cancel" not in page


def test_the_bar_of_runs_tells_by_shape_as_well() -> None:
    runs = [run("finished"), run("failed"), run("pending"), run("finished", warning=True), run("finished")]
    found = strip(runs)
    assert set(found.paths) == {"ok", "bad", "pending", "warn", "none"}
    heights = {kind: re.findall(r"\d+[VHh]\d+", path)[-3:] for kind, path in found.paths.items()}
    assert len({tuple(shape) for shape in heights.values()}) == 5
    assert found.paths["ok"] == "M220.8 11h2.4M236.8 11h2.4"
    assert strip([run("finished")] * 60).paths == {"ok": "M0.8 11h238.4"}
    assert found.words == "the last 5 runs: 2 good, 1 with a warning, 1 failed, 1 under way"
    assert strip([]).words == "no run yet"


def test_a_trend_needs_two_sizes_and_starts_with_the_oldest() -> None:
    assert trend([run("finished", stored=5)]) is None
    found = trend([run("finished", stored=100), run("failed"), run("finished", stored=50)])
    assert found
    assert found.line == "M2 15.0 118 4.0"


def run(status: str, *, warning: bool = False, stored: int | None = None) -> Past:
    return Past("id", status, warning, now(), stored, 1.0, timed_out=False)
