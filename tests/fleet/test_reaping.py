"""What dead workers left: once its records are settled it is ended, or begun once more, and somebody is told."""

import pytest

from backupman.engine.runner import Order
from backupman.records import Assignment, AssignmentKind, Backup, Restore, RunState, Status, Worker, new_id
from tests.fleet.conftest import Bed
from tests.store.conftest import a_backup, finish


def taken(bed: Bed, worker: Worker, label: str = "App") -> Assignment:
    """A backup of a due run that a worker has taken."""
    bed.runs.begin(bed.plan, bed.clock(), bed.clock(), [label], None)
    [assignment] = [each for each in bed.open() if each.source == label]
    bed.take(assignment, worker)
    return bed.get(assignment)


def recorded(bed: Bed, assignment: Assignment, status: Status) -> Backup:
    """The record of a backup that was begun for it, and how that stands."""
    backup = a_backup(
        "Disk", id=new_id(), instance=bed.instance, job="nightly", source=assignment.source, home=assignment.home,
        created_at=bed.clock(),
    )  # fmt: skip
    if status != Status.PENDING:
        finish(backup)
        backup.status = status
    bed.store.backups.begin(backup, [])
    bed.store.assignments.began(assignment.id, [backup.id])
    return backup


def state(bed: Bed, assignment: Assignment) -> tuple[str, int, str | None]:
    found = bed.get(assignment)
    return found.state, found.attempts, found.error


def test_what_a_living_worker_does_is_left_alone(bed: Bed) -> None:
    assignment = taken(bed, bed.worker())
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("running", 1, None)


def test_a_pending_record_is_settled_first(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False))
    backup = recorded(bed, assignment, Status.PENDING)
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("running", 1, None)
    bed.store.backups.settle(backup.id, lambda settled: setattr(settled, "dump_status", Status.FAILED), lambda _: [])
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("waiting", 1, "the worker on db-7 died")


def test_a_pending_restore_is_settled_first_and_not_made_again(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False))
    with bed.store._sessions.writing() as session:
        again = session.get_one(Assignment, assignment.id)
        again.kind, again.begin_until = "restore", None
        restore = Restore(
            instance=bed.instance,
            home=assignment.home,
            backup_id="b",
            label="App",
            source="App",
            database="shop",
            target="App",
            drive="Disk",
        )
        session.add(restore)
        again.records = [restore.id]
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("running", 1, None)
    with bed.store._sessions.writing() as session:
        session.get_one(Restore, restore.id).status = Status.FAILED
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("ended", 1, "the worker on db-7 died")


def test_what_was_through_but_for_its_own_end_is_ended(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False))
    recorded(bed, assignment, Status.FINISHED)
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("ended", 1, None)
    assert [run.state for run in bed.store.jobs.runs(bed.instance, "nightly", 9)] == [RunState.DONE]


def test_what_has_failed_is_begun_once_more_while_it_is_not_too_late(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False))
    recorded(bed, assignment, Status.FAILED)
    bed.reaper.check(bed.app)
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("waiting", 1, "the worker on db-7 died")
    assert (bed.get(assignment).home, bed.get(assignment).holder) == (None, None)
    [task] = bed.tasks()
    assert (task["status"], task["id"]) == ("todo", bed.get(assignment).task_id)
    assert task["id"] != assignment.task_id, "the one whose worker died is gone, and its lock with it"
    assert [run.state for run in bed.store.jobs.runs(bed.instance, "nightly", 9)] == [RunState.RUNNING]

    bed.take(bed.get(assignment), bed.worker(lives=False))
    bed.clock.forward(minutes=61)
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("ended", 2, "the worker on db-7 died")
    assert [run.state for run in bed.store.jobs.runs(bed.instance, "nightly", 9)] == [RunState.DONE]


def test_what_the_second_worker_has_finished_is_not_made_a_third_time(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False))
    recorded(bed, assignment, Status.FAILED)
    bed.reaper.check(bed.app)
    bed.clock.forward(minutes=1)
    bed.take(bed.get(assignment), bed.worker(lives=False))
    recorded(bed, bed.get(assignment), Status.FINISHED)
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("ended", 2, None)


def test_what_somebody_has_cancelled_is_not_begun_once_more(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False))
    recorded(bed, assignment, Status.FAILED)
    bed.reaper.check(bed.app)
    bed.clock.forward(minutes=1)
    bed.take(bed.get(assignment), bed.worker(lives=False))
    unwanted = recorded(bed, bed.get(assignment), Status.FAILED)
    assert bed.handing.cancel(unwanted.id, "cancelled over HTTP")
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("ended", 2, None)


def test_it_is_begun_three_times_at_most_and_then_somebody_is_told_once(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False))
    for attempt in (2, 3):
        bed.reaper.check(bed.app)
        bed.take(bed.get(assignment), bed.worker(lives=False))
        assert bed.get(assignment).attempts == attempt
    assert bed.reports() == []
    for _ in range(3):
        bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("ended", 3, "the worker on db-7 died")
    [run] = bed.store.jobs.runs(bed.instance, "nightly", 9)
    assert (run.state, run.reason) == (RunState.INTERRUPTED, "App: the worker on db-7 died")
    [backup] = bed.backups()
    assert (backup.status, backup.error) == (Status.FAILED, "App: the worker on db-7 died")
    assert bed.get(assignment).records == [backup.id]
    assert bed.reports() == [backup.id]


def test_what_could_not_begin_is_a_failed_backup_once(bed: Bed) -> None:
    [assignment] = bed.asked("App")
    error = "db-7: data_sources[App].password: the environment variable PGPASS is not set"
    bed.store.assignments.end(assignment.id, bed.clock(), holder=None, error=error)
    for _ in range(2):
        bed.reaper.check(bed.app)
    [backup] = bed.backups()
    assert (backup.status, backup.error, backup.trigger) == (Status.FAILED, f"App: {error}", "manual")
    assert bed.reports() == [backup.id]


@pytest.mark.parametrize("why", ["busy", "yesterday", "no backup", "not in the config"])
def test_other_ends_without_a_record_are_no_failed_backups(bed: Bed, why: str) -> None:
    if why == "no backup":
        restore = bed.handing.new(AssignmentKind.RESTORE, "any", "nightly", "App")
        bed.handing.hand_out([restore])
        assignment = restore
    else:
        [assignment] = bed.asked("App")
    bed.store.assignments.end(assignment.id, bed.clock(), holder=None, error="why", busy=why == "busy")
    if why == "yesterday":
        bed.clock.forward(days=1, seconds=1)
    if why == "not in the config":
        bed.begin(data_sources=[bed.source("Other")])
    bed.reaper.check(bed.app)
    assert bed.backups() == []


def test_what_has_left_the_config_is_ended(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False))
    bed.begin(data_sources=[bed.source("Other")])
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("ended", 1, "the worker on db-7 died")


def test_a_task_that_nobody_is_at_work_on_is_dropped_after_a_minute(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    """PostgreSQL was restarted when the worker had done it and was to say so."""
    assignment = taken(bed, bed.worker())
    bed.store.assignments.end(assignment.id, bed.clock(), holder=assignment.holder)
    bed.reaper.check(bed.app)
    bed.clock.forward(seconds=60)
    bed.reaper.check(bed.app)
    assert [task["status"] for task in bed.tasks()] == ["doing"]
    bed.clock.forward(seconds=1)
    bed.reaper.check(bed.app)
    assert bed.tasks() == []
    dropped = f"backup of App, ended: nobody is at work on its task {assignment.task_id}, which is dropped"
    assert dropped in caplog.messages


def test_what_was_fetched_and_never_taken_is_put_back_after_a_minute(bed: Bed) -> None:
    [assignment] = bed.asked("App")
    bed.sql("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", assignment.task_id)
    bed.reaper.check(bed.app)
    bed.clock.forward(seconds=61)
    bed.reaper.check(bed.app)
    [task] = bed.tasks()
    assert (task["status"], task["id"] == assignment.task_id) == ("todo", False)
    assert bed.get(assignment).task_id == task["id"]
    assert state(bed, assignment) == ("waiting", 0, None)


def test_a_lost_task_is_put_back(bed: Bed) -> None:
    [assignment] = bed.asked("App")
    bed.sql("DELETE FROM procrastinate_jobs WHERE id = %s", assignment.task_id)
    bed.clock.forward(seconds=60)
    bed.reaper.check(bed.app)
    assert bed.tasks() == []
    bed.clock.forward(seconds=1)
    bed.reaper.check(bed.app)
    assert [task["args"]["assignment"] for task in bed.tasks()] == [assignment.id]


def test_a_lost_task_of_what_has_left_the_config_is_ended(bed: Bed) -> None:
    [assignment] = bed.asked("App")
    bed.sql("DELETE FROM procrastinate_jobs WHERE id = %s", assignment.task_id)
    bed.begin(data_sources=[bed.source("Other")])
    bed.clock.forward(seconds=61)
    bed.reaper.check(bed.app)
    assert state(bed, assignment) == ("ended", 0, "App of job nightly is not in the config any more")


def test_what_fits_is_left_alone_however_long_it_takes(bed: Bed) -> None:
    waiting, running = bed.asked("App")[0], taken(bed, bed.worker(), "Blog")
    before = bed.tasks()
    for _ in range(3):
        bed.clock.forward(hours=1)
        bed.reaper.check(bed.app)
    assert bed.tasks() == before
    assert (bed.get(waiting).state, bed.get(running).state) == ("waiting", "running")


def test_a_run_whose_worker_comes_too_late_changes_nothing(bed: Bed) -> None:
    dead = bed.worker(lives=False)
    assignment = taken(bed, dead)
    bed.reaper.check(bed.app)
    living = bed.worker()
    bed.take(bed.get(assignment), living)
    assert not bed.store.assignments.end(assignment.id, bed.clock(), holder=dead.holder)
    assert not bed.store.assignments.wait_again(assignment.id, dead.holder, None, lambda *_: None)
    assert state(bed, assignment) == ("running", 2, None)
    assert bed.runs.busy(bed.plan, "App")
    assert bed.handing.start(bed.app.plans, ["App"], Order(), wait=False).result().busy == ["App"]
