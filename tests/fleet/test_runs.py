"""Runs that are due, and what somebody asks for, handed out to workers."""

from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest

from backupman.config import JobPlan
from backupman.engine.proofs import Work
from backupman.engine.restoring import RestoreOrder
from backupman.engine.runner import Order
from backupman.engine.targets import Destination
from backupman.errors import ConfigError
from backupman.fleet.proofs import ProofsOfWorkers
from backupman.fleet.runs import RunsOfWorkers
from backupman.queues import queue_of_home
from backupman.records import AssignmentKind, Backup, Run, RunState, Status, new_id
from backupman.store import Store
from tests.engine._virtual import at
from tests.fleet.conftest import Bed
from tests.store.conftest import a_backup, finish


def runs(bed: Bed) -> list[Run]:
    return list(bed.store.jobs.runs(bed.instance, "nightly", 99))


def recorded(bed: Bed, source: str = "App", job: str = "nightly", **fields: Any) -> Backup:
    """A finished backup."""
    backup = a_backup("Disk", id=new_id(), instance=bed.instance, job=job, source=source, label=source)
    finish(backup)
    backup.status = Status.FINISHED
    for name, value in fields.items():
        setattr(backup, name, value)
    bed.store.backups.begin(backup, [])
    return backup


def test_a_due_time_is_handed_out_once_by_however_many_daemons(bed: Bed) -> None:
    others = [Store.open(bed.address) for _ in range(4)]
    daemons = [RunsOfWorkers(store, bed.instance, lambda: bed.handing) for store in others]
    due = bed.clock()
    with ThreadPoolExecutor(len(daemons)) as pool:
        begun = list(pool.map(lambda runs: runs.begin(bed.plan, due, due, ["App", "Blog"], None), daemons))
    assert sorted(begun) == [False, False, False, True]
    [run] = runs(bed)
    assert (run.state, run.due_at) == (RunState.RUNNING, due)
    assert [(each.source, each.queue, each.run_id) for each in bed.open()] == [
        ("App", "any", run.id), ("Blog", "db7", run.id)
    ]  # fmt: skip
    assert {each.begin_until for each in bed.open()} == {at("2026-03-02 10:00")}, "the grace of the job"
    assert len(bed.tasks()) == 2
    for store in others:
        store.close()


def test_what_waits_for_a_worker_is_busy(bed: Bed) -> None:
    assert not bed.runs.busy(bed.plan, "App")
    bed.runs.begin(bed.plan, bed.clock(), bed.clock(), ["App"], "Blog is left out")
    assert bed.runs.busy(bed.plan, "App")
    assert not bed.runs.busy(bed.plan, "Blog")
    assert [run.reason for run in runs(bed)] == ["Blog is left out"]
    [assignment] = bed.open()
    bed.store.assignments.end(assignment.id, bed.clock(), holder=None)
    assert not bed.runs.busy(bed.plan, "App")
    assert [run.state for run in runs(bed)] == [RunState.DONE]


def test_a_run_ends_with_the_last_of_it_and_says_what_could_not_begin(bed: Bed) -> None:
    bed.runs.begin(bed.plan, bed.clock(), bed.clock(), ["App", "Blog"], None)
    first, second = bed.open()
    bed.store.assignments.end(first.id, bed.clock(), holder=None, error="no such host")
    assert [run.state for run in runs(bed)] == [RunState.RUNNING]
    bed.clock.forward(minutes=1)
    bed.store.assignments.began(second.id, ["b"])
    bed.store.assignments.end(second.id, bed.clock(), holder=None)
    [run] = runs(bed)
    assert (run.state, run.reason, run.ended_at) == (
        RunState.INTERRUPTED, f"{first.source}: no such host", bed.clock()
    )  # fmt: skip


def test_a_run_of_which_nothing_is_open_was_interrupted_and_goes_on_once(bed: Bed) -> None:
    due = bed.clock()
    bed.runs.begin(bed.plan, due, due, ["App"], None)
    bed.runs.end_dead()
    assert [run.state for run in runs(bed)] == [RunState.RUNNING], "a worker may take it yet"
    empty = bed.store.jobs.open_run(bed.instance, "nightly", at("2026-03-02 08:00"), due)
    bed.runs.end_dead()
    dead = next(run for run in runs(bed) if run.id == empty)
    assert (dead.state, dead.reason) == (RunState.INTERRUPTED, "interrupted by a crash")
    assert bed.runs.go_on(bed.plan, dead, ["Blog"])
    assert not bed.runs.go_on(bed.plan, dead, ["Blog"])
    [again] = [each for each in bed.open() if each.run_id == empty]
    assert (again.source, again.begin_until) == ("Blog", at("2026-03-02 09:00"))


def test_what_is_being_backed_up_is_busy_unless_somebody_waits_for_it(bed: Bed) -> None:
    bed.asked("App")
    both = bed.handing.start(bed.app.plans, None, Order(), wait=False)
    assert both.result().busy == ["App"]
    assert [each.source for each in bed.open()] == ["App", "Blog"]
    bed.clock.forward(minutes=1)
    waits = bed.handing.start(bed.app.plans, ["App"], Order(operator="Ada", tags={"release": "7"}), wait=True)
    assert waits.result().busy == []
    assert not waits.ended()
    asked = bed.open()[-1]
    assert asked.details == {
        "order": {"trigger": "manual", "operator": "Ada", "comment": None, "tags": {"release": "7"}}
    }
    assert asked.begin_until == at("2026-03-02 10:01")


def test_who_asks_is_told_the_records_once_a_worker_has_begun(bed: Bed) -> None:
    handed = bed.handing.start(bed.app.plans, ["App"], Order(), wait=False)
    [assignment] = bed.open()
    asking: list[list[str]] = []
    thread = Thread(target=lambda: asking.append(handed.ids(None)))
    thread.start()
    bed.store.assignments.began(assignment.id, ["the record"])
    thread.join()
    assert asking in ([["the record"]], [[]])
    assert handed.ids(None) == ["the record"]
    bed.store.assignments.end(assignment.id, bed.clock(), holder=None, error="App: why")
    assert handed.ended()
    assert [error.sentence for error in handed.result().errors] == ["App: why"]


def test_a_retry_goes_to_where_the_dump_waits(bed: Bed) -> None:
    living, dead = bed.worker(), bed.worker(lives=False)
    spooled = recorded(bed, home=living.home, status=Status.FAILED)
    lost = recorded(bed, home=dead.home, status=Status.FAILED)
    anew = recorded(bed, "Blog", home=dead.home, status=Status.FAILED, dump_status=Status.FAILED)
    gone = recorded(bed, job="weekly", status=Status.FAILED)
    handed = bed.handing.start_retry(bed.app.plans, [spooled, lost, anew, gone], wait=False)
    assert [(each.kind, each.queue, each.details) for each in bed.open()] == [
        ("retry", queue_of_home(living.home), {"backup": spooled.id}),
        ("retry", "db7", {"backup": anew.id}),
    ]
    assert [error.sentence for error in handed.result().errors] == [
        "App: its dump waits in the spool of a host whose worker does not run: start it, or back App up anew where "
        "that spool is gone for good",
        "App: its job 'weekly' or its source is not in the config any more",
    ]


def test_a_restore_is_described_without_any_secret(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASS", "s3cr3t-w0rd")
    shop = {"provider": "postgres", "label": "Shop", "db_name": "shop", "user": "shop", "password": "${PGPASS}"}
    bed.begin(data_sources=[shop | {"queue": "db7"}])
    source = bed.app.config.source("Shop")
    assert source
    order = RestoreOrder(
        backup=recorded(bed, "Shop"),
        destination=Destination(source, "shop_test", False),
        tables=["fruit"],
        operator="Ada",
    )
    bed.handing.start_restore(order)
    [assignment] = bed.open()
    assert (assignment.kind, assignment.queue, assignment.begin_until) == ("restore", "db7", None)
    restore = assignment.details["restore"]
    assert (restore["source"], restore["database"], restore["backup"]) == ("Shop", "shop_test", order.backup.id)
    everything = f"{bed.sql('SELECT t::text FROM public.backupman_assignments t')}{bed.tasks()}"
    assert "${PGPASS}" in everything
    assert "s3cr3t-w0rd" not in everything


def test_what_a_worker_has_is_cancelled_on_record_and_nothing_else(bed: Bed) -> None:
    worker = bed.worker()
    [assignment] = bed.asked("App")
    assert not bed.handing.cancel("the record", "cancelled by Ada")
    bed.take(assignment, worker)
    bed.store.assignments.began(assignment.id, ["the record"])
    assert not bed.handing.cancel("another record", "cancelled by Ada")
    assert bed.handing.cancel("the record", "cancelled by Ada")
    assert bed.get(assignment).cancelled == {"the record": "cancelled by Ada"}


def test_what_has_left_the_config_is_not_handed_out(bed: Bed) -> None:
    plan: JobPlan = bed.plan
    bed.begin(data_sources=[bed.source("Other")])
    with pytest.raises(ConfigError, match="App of job nightly is not in the config any more"):
        bed.handing.hand_out([bed.handing.new(AssignmentKind.BACKUP, "any", plan.label, "App")])
    assert (bed.open(), bed.tasks()) == ([], [])


def test_copies_are_verified_source_by_source_and_their_run_ends_with_the_last(bed: Bed) -> None:
    bed.begin(verify={"queue": "prove"}, jobs=[bed.config["jobs"][0] | {"verify": {"queue": "prove"}}])
    proofs = ProofsOfWorkers(bed.store, bed.instance, lambda: bed.handing, bed.clock)
    backups = [recorded(bed), recorded(bed), recorded(bed, "Blog"), recorded(bed, "Gone")]
    run = bed.store.jobs.open_run(bed.instance, "verify", bed.clock(), bed.clock())
    work = Work("verify by the clock", "structure", lambda: iter(backups), bed.app.verifier, ["Disk"], run)
    assert proofs.begin(work)
    assert proofs.waits(work.name)
    assert not proofs.begin(work)
    first, second = sorted(bed.open(), key=lambda each: each.source)
    assert (first.kind, first.queue, first.source, second.source) == ("verify", "prove", "App", "Blog")
    assert first.details == {
        "name": work.name, "level": "structure", "backups": [each.id for each in backups[:2]], "drives": ["Disk"]
    }  # fmt: skip
    for each in (first, second):
        assert proofs.waits(work.name)
        bed.store.assignments.end(each.id, bed.clock(), holder=None)
    assert not proofs.waits(work.name)
    assert [each.state for each in bed.store.jobs.runs(bed.instance, "verify", 9)] == [RunState.DONE]


def test_a_due_proof_of_nothing_is_through_at_once(bed: Bed) -> None:
    proofs = ProofsOfWorkers(bed.store, bed.instance, lambda: bed.handing, bed.clock)
    run = bed.store.jobs.open_run(bed.instance, "verify", bed.clock(), bed.clock())
    assert proofs.begin(Work("verify", "structure", lambda: iter([]), bed.app.verifier, None, run))
    assert bed.open() == []
    assert [each.state for each in bed.store.jobs.runs(bed.instance, "verify", 9)] == [RunState.DONE]
