"""What hosts tell each other at once: messages, progress not too often, and connections that come back."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from backupman.engine.live import Live
from backupman.fleet.channel import Listener, Message, Speaker
from backupman.fleet.patience import PatientConnector
from backupman.fleet.telling import Telling
from tests.e2e.world import wait_for
from tests.fleet.conftest import Bed
from tests.store.conftest import a_backup


class Ears:
    """What was heard on a channel, and a mouth."""

    def __init__(self, bed: Bed) -> None:
        self.heard: list[Message] = []
        self.speaker = Speaker(bed.queue.plain_conninfo, bed.queue.channel)
        self.listener = Listener(bed.queue.plain_conninfo, bed.queue.channel, self.hear)
        self.speaker.start()
        self.listener.start()

    def hear(self, message: Message) -> None:
        if message.get("Type") == "bad":
            raise ValueError(message)
        self.heard.append(message)

    def arrives(self, **message: Any) -> None:
        """Say it until it is heard: nothing waits for whoever does not listen yet."""

        def said() -> bool:
            self.speaker.say(message)
            return message in self.heard

        wait_for(said)

    def close(self) -> None:
        self.listener.close()
        self.speaker.close()


@pytest.fixture
def ears(bed: Bed) -> Iterator[Ears]:
    made = Ears(bed)
    yield made
    made.close()


def cut_connections(bed: Bed, query: str) -> int:
    """Cut every connection of others whose last statement is like that; how many there were."""
    found = bed.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()", query
    )
    return len(found)


def test_a_message_arrives_also_after_the_connections_were_lost(bed: Bed, ears: Ears) -> None:
    ears.arrives(Type="progress", Id="1", Label="Größe")
    assert cut_connections(bed, f'LISTEN "{bed.queue.channel}"%') == 1
    assert cut_connections(bed, "SELECT pg_notify%") >= 1
    ears.arrives(Type="progress", Id="2")


def test_what_is_too_long_or_cannot_be_taken_stops_no_other(
    bed: Bed, ears: Ears, caplog: pytest.LogCaptureFixture
) -> None:
    ears.arrives(Type="first")
    ears.speaker.say({"Type": "long", "Text": "x" * 8000})
    ears.speaker.say({"Type": "bad"})
    ears.arrives(Type="last")
    assert "long" not in {message["Type"] for message in ears.heard}
    assert "a message of another host could not be taken" in caplog.text


def test_nothing_is_waited_for_where_nobody_can_be_told(bed: Bed) -> None:
    speaker = Speaker("host=127.0.0.1 port=1 connect_timeout=1", bed.queue.channel)
    speaker.start()
    for number in range(2000):
        speaker.say({"Type": "progress", "Id": str(number)})
    speaker.close()


def test_the_queue_waits_until_postgresql_is_back(bed: Bed) -> None:
    async def ask() -> list[Any]:
        connector = PatientConnector(conninfo=bed.queue.conninfo, min_size=1, max_size=1)
        await connector.open_async()
        try:
            [before] = await connector.execute_query_all_async("SELECT pg_backend_pid() AS pid")
            assert await asyncio.to_thread(bed.sql, "SELECT pg_terminate_backend(%s, 60000)", before["pid"])
            [after] = await connector.execute_query_all_async("SELECT pg_backend_pid() AS pid")
            one = await connector.execute_query_one_async("SELECT 7 AS number")
            await connector.execute_query_async("SELECT 8")
            return [before["pid"] != after["pid"], one["number"]]
        finally:
            await connector.close_async()

    assert asyncio.run(ask()) == [True, 7]


def test_the_queue_waits_until_postgresql_can_be_written_again(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> None:
        connector = PatientConnector(conninfo=bed.queue.conninfo, min_size=1, max_size=1)
        await connector.open_async()
        try:
            await connector.execute_query_async("SET default_transaction_read_only = on")
            [reads] = await connector.execute_query_all_async("SELECT pg_backend_pid() AS pid")
            writing = asyncio.create_task(connector.execute_query_async("CREATE TABLE written (x integer)"))
            while "the queue waits: cannot execute CREATE TABLE in a read-only" not in caplog.text:
                assert not writing.done()
                await asyncio.sleep(0.01)
            await asyncio.to_thread(bed.sql, "SELECT pg_terminate_backend(%s, 60000)", reads["pid"])
            await writing
        finally:
            await connector.close_async()

    asyncio.run(ask())
    assert bed.sql("DROP TABLE written") == []


def test_what_is_wrong_with_a_statement_is_not_tried_again(bed: Bed) -> None:
    from procrastinate.exceptions import ConnectorException

    async def ask() -> None:
        connector = PatientConnector(conninfo=bed.queue.conninfo, min_size=1, max_size=1)
        await connector.open_async()
        try:
            await connector.execute_query_async("SELECT no_such_thing")
        finally:
            await connector.close_async()

    with pytest.raises(ConnectorException):
        asyncio.run(ask())


class Said(Speaker):
    """A speaker that only notes."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def say(self, message: Message) -> None:
        self.messages.append(message)


def test_a_backup_is_told_from_beginning_to_end_with_its_host() -> None:
    live, said = Live(), Said()
    telling = Telling(live, said, "db-7")
    telling.start()
    wait_for(lambda: live._subscribers)
    backup = a_backup("Disk", id=str(uuid4()))
    live.began(backup)
    live.ended(backup)
    wait_for(lambda: [message["Type"] for message in said.messages][-1:] == ["ended"])
    telling.close()
    assert {(message["Id"], message["Host"]) for message in said.messages} == {(backup.id, "db-7")}
    assert said.messages[0]["Type"] == "began"
    assert not live._subscribers


def test_progress_is_told_once_a_second_and_an_end_always(monkeypatch: pytest.MonkeyPatch) -> None:
    said, clock = Said(), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    telling = Telling(Live(), said, "db-7")
    for later in (0, 0.4, 0.4, 0.4):
        clock[0] += later
        telling._pass_on({"Type": "progress", "Id": "1", "Read": clock[0]})
    telling._pass_on({"Type": "progress", "Id": "2"})
    telling._pass_on({"Type": "ended", "Id": "1"})
    assert [(message["Type"], message["Id"]) for message in said.messages] == [
        ("progress", "1"), ("progress", "1"), ("progress", "2"), ("ended", "1")
    ]  # fmt: skip
    assert telling._told.keys() == {"2"}


REMOTE = {
    "Type": "progress", "Id": "1", "Label": "App", "Job": "nightly", "Phase": "dumping", "Read": 7, "Stored": 3,
    "Sent": {"Disk": 2}, "Drives": {"Disk": "pending"}, "Seconds": 12.0, "Host": "db-7",
}  # fmt: skip


def test_a_control_host_shows_what_workers_tell_until_they_fall_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    began, later = time.monotonic(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: began + later[0])
    settled: list[bool] = []
    live = Live(lambda: settled.append(True))
    changes, leave = live.subscribe()
    live.relay(REMOTE | {"Type": "began", "Read": 0})
    live.relay(REMOTE)
    [shown] = live.running()
    assert (shown["Host"], shown["Read"], shown["Sent"]) == ("db-7", 7, {"Disk": 2})
    later[0] = 29
    assert len(live.running()) == 1
    later[0] = 1000  # what was heard is noted by the true time
    assert live.running() == []
    later[0] = 0
    live.relay(REMOTE)
    assert len(live.running()) == 1
    live.relay(REMOTE | {"Type": "ended", "Phase": None, "Status": "finished", "Error": None})
    assert (live.running(), settled) == ([], [True])
    assert [changes.get_nowait()["Type"] for _ in range(4)] == ["began", "progress", "progress", "ended"]
    leave()


def test_what_is_under_way_here_is_not_what_others_say(bed: Bed) -> None:
    live = Live()
    backup = a_backup("Disk", id="1")
    live.began(backup)
    live.relay(REMOTE | {"Type": "ended"})
    [shown] = live.running()
    assert (shown["Host"], shown["Phase"]) == (None, "queued")
