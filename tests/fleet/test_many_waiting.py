"""With many tasks waiting PostgreSQL is told how many there are, so that a fetch stays quick."""

from tests.e2e.world import wait_for
from tests.fleet.conftest import Bed


def test_a_queue_that_has_grown_is_analyzed_and_a_small_one_is_left_alone(bed: Bed) -> None:
    def analyzed() -> int:
        query = "SELECT analyze_count FROM pg_stat_user_tables WHERE relname = 'procrastinate_jobs'"
        return int(bed.sql(query)[0][0])

    def fill(count: int) -> None:
        bed.sql(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args)"
            " SELECT %s, 'task', 'lock ' || n, jsonb_build_object('assignment', n) FROM generate_series(1, %s) n",
            bed.queue.name_of("any"),
            count,
        )

    before = analyzed()
    fill(300)
    bed.reaper.check(bed.app)
    assert analyzed() == before
    fill(300)
    bed.reaper.check(bed.app)
    wait_for(lambda: analyzed() == before + 1)
    bed.reaper.check(bed.app)  # as many as before
    bed.sql("DELETE FROM procrastinate_jobs WHERE queue_name = %s", bed.queue.name_of("any"))
    bed.reaper.check(bed.app)
    assert analyzed() == before + 1
    fill(600)  # the next night
    bed.reaper.check(bed.app)
    wait_for(lambda: analyzed() == before + 2)
    bed.sql("DELETE FROM procrastinate_jobs WHERE queue_name = %s", bed.queue.name_of("any"))
