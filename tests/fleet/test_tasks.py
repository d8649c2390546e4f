"""What a worker does with an assignment: takes it once, does it by its excerpt, and says what came of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from backupman.engine.holding import Holding
from backupman.engine.locks import source_lock
from backupman.engine.restoring import RestoreOrder
from backupman.engine.targets import Destination
from backupman.errors import StoreError
from backupman.fleet.tasks import Tasks
from backupman.records import Assignment, Status, new_id, now
from backupman.store.workers import worker_claim
from tests.e2e.world import wait_for
from tests.fleet.conftest import Bed
from tests.store.conftest import a_backup


@pytest.fixture
def do(bed: Bed, holding: Holding) -> Callable[..., Assignment]:
    """Has a worker with such a config do an assignment as Procrastinate would, and gives what it is then."""

    def work(assignment: Assignment, tasks: Tasks | None = None, **sections: Any) -> Assignment:
        tasks = tasks or bed.tasks_of(holding, **sections)
        found = bed.store.assignments.within(lambda session: bed.queue.excerpt_of(session, assignment.task_id or 0))
        tasks.do(assignment.id, found or {})
        assert not tasks.busy()
        return bed.get(assignment)

    return work


def test_it_is_taken_once_and_noted_from_its_beginning(bed: Bed, do: Callable[..., Assignment]) -> None:
    [assignment] = bed.asked("App")
    done = do(assignment)
    [backup] = bed.backups()
    assert (done.state, done.error, done.attempts, done.records) == ("ended", None, 1, [backup.id])
    assert (backup.status, backup.home, backup.job) == (Status.FINISHED, done.home, "nightly")
    again = do(assignment)
    assert (again.attempts, len(bed.backups())) == (1, 1)


def test_it_begins_no_earlier_than_it_was_handed_out_whatever_the_clock_of_its_host_says(
    bed: Bed, do: Callable[..., Assignment]
) -> None:
    """Else the run that is due would have no backup, and be told as late each night."""
    bed.clock.now = now() + timedelta(minutes=5)
    done = do(bed.asked("App")[0])
    [backup] = bed.backups()
    assert (backup.status, backup.created_at, done.state) == (Status.FINISHED, done.created_at, "ended")
    assert backup.finished_at and backup.finished_at >= backup.created_at


def test_what_another_worker_has_is_left_to_it(bed: Bed, do: Callable[..., Assignment]) -> None:
    [assignment] = bed.asked("App")
    other = bed.worker()
    bed.take(assignment, other)
    assert (do(assignment).holder, bed.backups()) == (other.holder, [])


@pytest.mark.parametrize(
    ("source", "sections", "words"),
    [
        ({}, {"worker": {"allow": [{"label": "Other*"}]}}, ["does not take App: no rule of worker.allow"]),
        ({"provider": "command", "argv": ["echo", "dump"]}, {}, ["runs no command of another host for App"]),
        ({"hooks": 1}, {}, ["runs no commands of another host", "hooks.before_backup"]),
        ({"db_path": "${NOWHERE}"}, {}, ["data_sources[App].db_path", "NOWHERE"]),
    ],
    ids=["allow", "command", "hooks", "missing variable"],
)
def test_what_its_host_does_not_allow_or_cannot_do_is_refused(
    bed: Bed,
    do: Callable[..., Assignment],
    monkeypatch: pytest.MonkeyPatch,
    source: dict[str, Any],
    sections: dict[str, Any],
    words: list[str],
) -> None:
    monkeypatch.setenv("NOWHERE", str(bed.folder / "App.db"))
    if source.pop("hooks", None):
        bed.begin(hooks={"before_backup": "true"})
    known = bed.source("App")
    if "provider" in source:
        del known["db_path"]
    bed.begin(data_sources=[known | source])
    [assignment] = bed.asked("App")
    monkeypatch.delenv("NOWHERE")
    refused = do(assignment, **sections)
    assert refused.state == "ended"
    for word in words:
        assert word in (refused.error or "")
    assert bed.backups() == []
    bed.reaper.check(bed.app)
    [backup] = bed.backups()
    assert (backup.status, backup.error) == (Status.FAILED, f"App: {refused.error}")


def test_a_fault_of_ours_ends_it_with_a_word(bed: Bed, holding: Holding, caplog: pytest.LogCaptureFixture) -> None:
    [assignment] = bed.asked("App")
    bed.tasks_of(holding).do(assignment.id, {"config": 7})
    assert (bed.get(assignment).state, bed.get(assignment).error) == ("ended", "unexpected AttributeError")
    assert "backup of App: unexpected" in caplog.text


def test_a_source_that_is_being_backed_up_there_is_busy(bed: Bed, do: Callable[..., Assignment]) -> None:
    from backupman.engine.locks import source_lock

    [assignment] = bed.asked("App")
    with source_lock(bed.folder / "worker", "App", wait=False):
        done = do(assignment)
    assert (done.state, done.busy, done.error) == ("ended", True, "App is being backed up already")
    bed.reaper.check(bed.app)
    assert bed.backups() == []


def test_a_worker_that_was_stopped_puts_it_back_while_it_is_not_too_late(
    bed: Bed, holding: Holding, do: Callable[..., Assignment]
) -> None:
    tasks = bed.tasks_of(holding)
    tasks.close()
    [assignment] = bed.asked("App")
    waits = do(assignment, tasks)
    assert (waits.state, waits.holder, waits.attempts) == ("waiting", None, 1)
    [(later,)] = bed.sql("SELECT scheduled_at > now() FROM procrastinate_jobs WHERE id = %s", waits.task_id)
    assert (later, waits.task_id != assignment.task_id) == (True, True)
    bed.clock.forward(hours=1)
    ended = do(waits, tasks)
    assert (ended.state, ended.attempts, ended.error) == ("ended", 2, "the worker was stopped")


def test_what_was_cancelled_is_not_put_back_by_a_worker_that_is_stopped(
    bed: Bed, holding: Holding, do: Callable[..., Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, settle = bed.tasks_of(holding), bed.store.backups.settle
    (bed.folder / "App.db").unlink()
    [assignment] = bed.asked("App")

    def cancelled_before(backup_id: str, *given: Any) -> Any:
        bed.store.assignments.cancel(assignment.id, backup_id, "cancelled over HTTP")
        tasks.close()
        return settle(backup_id, *given)

    monkeypatch.setattr(bed.store.backups, "settle", cancelled_before)
    ended = do(assignment, tasks)
    assert (ended.state, ended.attempts, ended.error) == ("ended", 1, None)


def interrupted(bed: Bed, holding: Holding) -> Assignment:
    """A backup that an earlier process of this state folder had under way; its new one lives."""
    [assignment] = bed.asked("App")
    dead = bed.worker(lives=False)
    dead.home = holding.home
    bed.take(assignment, dead)
    spool = str(bed.folder / "worker/spool/dump")
    backup = a_backup(
        "Disk", id=new_id(), instance=bed.instance, job="nightly", source="App", home=holding.home, spool_path=spool
    )
    bed.store.backups.begin(backup, [])
    bed.store.assignments.began(assignment.id, [backup.id])
    holding.take(worker_claim(holding.home))
    return assignment


def test_what_an_earlier_process_of_the_same_folder_left_is_settled(bed: Bed, holding: Holding) -> None:
    assignment = interrupted(bed, holding)
    bed.tasks_of(holding).go_on()
    assert [each.status for each in bed.backups()] == [Status.FAILED]
    assert bed.get(assignment).state == "running", "whether it is done again says the control host"
    bed.reaper.check(bed.app)
    assert bed.get(assignment).state == "waiting"


def test_what_a_child_of_an_earlier_process_still_does_is_settled_once_that_has_ended(
    bed: Bed, holding: Holding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("backupman.fleet.tasks._LEFT_EVERY", 0.1)
    interrupted(bed, holding)
    with ThreadPoolExecutor() as other:
        with source_lock(bed.folder / "worker", "App", wait=False):
            going_on = other.submit(bed.tasks_of(holding).go_on)
            wait_for(lambda: going_on.done() or "is not through here yet" in caplog.text)
            assert not going_on.done()
            assert [each.status for each in bed.backups()] == [Status.PENDING]
        going_on.result()
    assert [each.status for each in bed.backups()] == [Status.FAILED]


@pytest.mark.parametrize("why", ["its task is gone", "refused"])
def test_what_cannot_be_settled_where_it_was_left_is_settled_by_the_control_host(
    bed: Bed, holding: Holding, why: str
) -> None:
    """A worker that was cut off for long has lost its task with its last words; another one allows less by now."""
    assignment = interrupted(bed, holding)
    sections: dict[str, Any] = {"worker": {"allow": [{"label": "Other"}]}} if why == "refused" else {}
    if why == "its task is gone":
        bed.sql("DELETE FROM procrastinate_jobs WHERE id = %s", assignment.task_id)
    bed.tasks_of(holding, **sections).go_on()
    assert [each.status for each in bed.backups()] == [Status.PENDING]
    bed.reaper.check(bed.app)
    [backup] = bed.backups()
    assert (backup.status, backup.home) == (Status.FAILED, holding.home)
    assert bed.reports() == [backup.id]
    assert (bed.get(assignment).state, bed.get(assignment).holder) == ("waiting", None)


def test_what_is_finished_is_never_done_again_although_the_records_had_a_bad_moment(
    bed: Bed, holding: Holding, do: Callable[..., Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload is through, and then PostgreSQL is away when that is to be recorded."""
    [assignment] = bed.asked("App")
    tasks = bed.tasks_of(holding)
    store, settle = bed.store, bed.store.backups.settle
    failed: list[Any] = []

    def settle_later(*given: Any) -> Any:
        if not failed:
            failed.append(given)
            raise StoreError("the store cannot be used")
        return settle(*given)

    monkeypatch.setattr(store.backups, "settle", settle_later)
    done = do(assignment, tasks)
    assert failed
    [backup] = bed.backups()
    assert (backup.status, done.state, done.records) == (Status.FINISHED, "ended", [backup.id])


def test_a_restore_does_not_stay_pending_when_the_records_had_a_bad_moment(
    bed: Bed, holding: Holding, do: Callable[..., Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    do(bed.asked("App")[0])
    [backup] = bed.backups()
    source = bed.app.config.source("App")
    assert source
    bed.handing.start_restore(RestoreOrder(backup=backup, destination=Destination(source, "back", False)))
    tasks, settle = bed.tasks_of(holding), bed.store.restores.settle
    failed: list[Any] = []

    def settle_later(*given: Any) -> Any:
        if not failed:
            failed.append(given)
            raise StoreError("the store cannot be used")
        return settle(*given)

    monkeypatch.setattr(bed.store.restores, "settle", settle_later)
    done = do(bed.open()[0], tasks)
    assert failed
    assert (done.state, bed.store.restores.pending(bed.instance)) == ("ended", [])


def test_all_of_some_backups_are_finished(bed: Bed, do: Callable[..., Assignment]) -> None:
    for label in ("App", "Blog"):
        do(bed.asked(label)[0])
    ids = [backup.id for backup in bed.backups()]
    assert bed.store.backups.all_finished(ids)
    assert not bed.store.backups.all_finished([*ids, "a restore"])
    assert not bed.store.backups.all_finished([])


def test_what_was_taken_and_is_not_under_way_is_put_back(bed: Bed, holding: Holding) -> None:
    """As after a PostgreSQL that has forgotten the last moments before it went down."""
    [assignment] = bed.asked("App")
    mine = holding.holder
    bed.store.assignments.take(assignment.id, home=mine.home, holder=mine.id, host=mine.host, at=bed.clock())
    bed.tasks_of(holding).look()
    assert (bed.get(assignment).state, bed.get(assignment).error) == ("waiting", "its end was lost")
