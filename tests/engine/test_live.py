"""What is under way, told while other threads end it."""

from backupman.data_plane.messages import Phase
from backupman.engine.live import Live
from backupman.records import Backup, Status


def backup(status: Status = Status.PENDING) -> Backup:
    return Backup(
        id="b1",
        label="Orders",
        job="nightly",
        source="Orders",
        database="orders",
        source_provider="sqlite",
        instance="host1",
        object_name="orders/x",
        status=status,
        drive_files=[],
    )


def test_a_backup_under_way_is_where_the_data_plane_said() -> None:
    live, orders = Live(), backup()
    assert live.of(orders) is None
    live.began(orders)
    live.heard(orders, Phase(phase="dumping"))
    here = live.of(orders)
    assert here and (here["Id"], here["Phase"]) == ("b1", "dumping")
    live.ended(orders)
    assert live.of(orders) is None


def test_a_backup_that_its_record_calls_ended_is_not_shown_as_under_way() -> None:
    live = Live()
    live.began(backup())
    assert live.of(backup(Status.FAILED)) is None
    assert [now["Id"] for now in live.running()] == ["b1"]
