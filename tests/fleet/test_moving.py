"""What waits in queues that nobody takes from: it goes where the config has it now, or ends."""

from backupman.queues import queue_of_home
from backupman.records import AssignmentKind, Worker
from backupman.store.claims import Holder
from backupman.store.workers import worker_claim
from tests.fleet.conftest import Bed
from tests.fleet.test_reaping import state, taken


def forsake(bed: Bed, worker: Worker) -> None:
    """Its claim has ended."""
    bed.store.claims.release(Holder(bed.instance, worker.holder, worker.home, worker.host), worker_claim(worker.home))


def test_what_waits_where_nobody_takes_from_goes_where_the_config_has_it_now(bed: Bed) -> None:
    """Somebody has mended the name of a queue, or given a source to another host when its own had died."""
    [stray], [other] = bed.asked("Blog"), bed.asked("App")
    bed.begin(data_sources=[bed.source("App"), bed.source("Blog", queue="db8")])
    bed.reaper.move(bed.app)
    assert bed.get(stray).queue == "db7", "its worker may only have been started anew"
    bed.clock.forward(minutes=2)
    bed.reaper.move(bed.app)
    assert (bed.get(stray).queue, bed.get(other).queue) == ("db8", "any")
    names = [(bed.queue.name_of("any"), other.task_id), (bed.queue.name_of("db8"), bed.get(stray).task_id)]
    assert [(task["queue"], task["id"]) for task in bed.tasks()] == names
    before = bed.tasks()
    bed.reaper.move(bed.app)
    assert bed.tasks() == before, "a queue without workers that the config still names is waited for"


def test_what_waits_where_a_worker_takes_from_is_left_to_it(bed: Bed) -> None:
    [assignment] = bed.asked("Blog")
    worker = bed.worker()
    worker.queues = ["db7"]
    bed.store.workers.come(worker)
    bed.begin(data_sources=[bed.source("App"), bed.source("Blog", queue="db8")])
    bed.clock.forward(minutes=2)
    bed.reaper.move(bed.app)
    assert bed.get(assignment).queue == "db7"


def test_what_waits_where_nobody_takes_from_and_has_left_the_config_is_ended(bed: Bed) -> None:
    [assignment] = bed.asked("Blog")
    messages = bed.handing.new(AssignmentKind.DELIVER, "mail", "", "")
    bed.handing.hand_out([messages])
    bed.begin(data_sources=[bed.source("App")])
    bed.clock.forward(minutes=2)
    bed.reaper.move(bed.app)
    assert state(bed, assignment) == ("ended", 0, "Blog of job nightly is not in the config any more")
    assert state(bed, messages) == ("ended", 0, "no notifier of the config has the queue mail any more")
    for _ in range(2):
        bed.reaper.check(bed.app)
        bed.clock.forward(seconds=61)
    assert bed.tasks() == []


def test_what_a_dead_worker_had_goes_where_the_config_has_it_now(bed: Bed) -> None:
    assignment = taken(bed, bed.worker(lives=False), "Blog")
    bed.begin(data_sources=[bed.source("App"), bed.source("Blog", queue="db8")])
    bed.reaper.check(bed.app)
    assert (bed.get(assignment).state, bed.get(assignment).queue) == ("waiting", "db8")


def test_a_retry_from_the_spool_of_a_host_that_is_gone_does_not_keep_its_source_for_good(bed: Bed) -> None:
    worker = bed.worker()
    retry = bed.handing.new(AssignmentKind.RETRY, queue_of_home(worker.home), "nightly", "App")
    retry.details = {"backup": "b4c3f1a0"}
    bed.handing.hand_out([retry])
    bed.clock.forward(hours=2)
    bed.reaper.move(bed.app)
    assert bed.get(retry).state == "waiting", "its worker lives"
    forsake(bed, worker)
    bed.reaper.move(bed.app)
    assert state(bed, retry) == ("ended", 0, "the worker that has its dump in its spool has not come back")
    assert not bed.runs.busy(bed.plan, "App")


def test_a_retry_waits_for_its_host_while_it_may_be_begun(bed: Bed) -> None:
    worker = bed.worker(lives=False)
    retry = bed.handing.new(AssignmentKind.RETRY, queue_of_home(worker.home), "nightly", "App")
    bed.handing.hand_out([retry])
    bed.clock.forward(minutes=59)
    bed.reaper.move(bed.app)
    assert (bed.get(retry).state, bed.get(retry).queue) == ("waiting", queue_of_home(worker.home))


def test_what_a_worker_has_taken_meanwhile_is_not_ended_as_waiting(bed: Bed) -> None:
    assignment = taken(bed, bed.worker())
    assert not bed.store.assignments.end(assignment.id, bed.clock(), holder=None, error="nobody came")
    assert state(bed, assignment) == ("running", 1, None)
