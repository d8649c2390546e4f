"""What a process holds among hosts is kept while it lives, and its work ends when it cannot be kept."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from backupman.app import App
from backupman.data_plane.alive import since_boot
from backupman.engine.holding import Holding, alone
from backupman.engine.runner import Order
from backupman.errors import BusyError
from backupman.records import Status
from backupman.store import Store
from tests.e2e.world import wait_for
from tests.servers.postgres import Postgres
from tests.store.conftest import server_address

SHORT, LONG = timedelta(seconds=2), timedelta(hours=1)


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store that hosts share."""
    opened = Store.open(server_address(request, "postgres"))
    yield opened
    opened.close()


def test_a_state_folder_has_one_id_for_all_its_processes(shared: Store, tmp_path: Path) -> None:
    one, again = (Holding(shared, "shop", tmp_path / "state", LONG) for _ in range(2))
    other = Holding(shared, "shop", tmp_path / "other", LONG)
    assert one.home == again.home != other.home
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["id"]


def test_what_another_host_has_is_waited_for_or_refused(shared: Store, tmp_path: Path) -> None:
    here, there = (Holding(shared, "shop", tmp_path / name, LONG) for name in ("here", "there"))
    with alone(there, "source App", "App is being backed up"):
        with (
            pytest.raises(BusyError, match=r"App is being backed up on \S+; wait for it to end"),
            alone(here, "source App", "App is being backed up"),
        ):
            pytest.fail("it was not refused")
        with alone(here, "source Blog", "Blog is being backed up"):
            pass
    with alone(here, "source App", "App is being backed up", wait=True):
        assert here.lives(here.home)
    assert not here.lives(here.home)
    here.close()
    there.close()


def test_it_is_put_off_again_and_again(shared: Store, tmp_path: Path) -> None:
    holding = Holding(shared, "shop", tmp_path, timedelta(seconds=30))
    told: list[float] = []
    holding.on_renewed.append(told.append)
    assert holding.take("lead") is None
    first = holding.until or 0
    wait_for(lambda: len(told) > 1)
    assert first < told[0] < told[1]
    assert not holding.lost
    holding.release("lead")
    assert holding.until is None
    holding.close()
    assert shared.claims.all("shop") == []


def test_what_could_not_be_let_go_of_is_let_go_of_later(shared: Store, tmp_path: Path) -> None:
    holding = Holding(shared, "shop", tmp_path, timedelta(seconds=30))
    for name in ("lead", "source App"):
        assert holding.take(name) is None
    with shared._engine.begin() as connection:
        connection.execute(text("ALTER TABLE backupman_claims RENAME TO away"))
    holding.release("source App")
    with shared._engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO backupman_claims"))
    first = holding.until or 0
    wait_for(lambda: [claim.name for claim in shared.claims.all("shop")] == ["lead"])
    wait_for(lambda: (holding.until or 0) > first)
    assert not holding.lost
    holding.close()
    assert shared.claims.all("shop") == []


def test_whoever_lost_it_to_another_is_told_once(shared: Store, tmp_path: Path) -> None:
    holding = Holding(shared, "shop", tmp_path, timedelta(seconds=30))
    told: list[str] = []
    holding.on_lost.append(told.append)
    holding.take("lead")
    with shared._engine.begin() as connection:
        connection.execute(text("UPDATE backupman_claims SET holder = 'another'"))
    wait_for(lambda: told)
    assert "another host may have taken over" in told[0]
    assert (holding.lost, holding.take("lead"), len(told)) == (True, "another host", 1)
    holding.close()


def test_a_copy_of_a_state_folder_is_named_where_two_hosts_have_the_same(shared: Store, tmp_path: Path) -> None:
    """As two machines have that were made from one image: each takes for its own what the other one holds."""
    first = Holding(shared, "shop", tmp_path / "first", timedelta(seconds=30))
    told: list[str] = []
    first.on_lost.append(told.append)
    first.take(f"worker {first.home}")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    second = Holding(shared, "shop", tmp_path / "second", timedelta(seconds=30))
    assert second.take(f"worker {second.home}") is None
    wait_for(lambda: told)
    assert f"a copy of the state folder {tmp_path / 'first'}" in told[0]
    first.close()
    second.close()


def test_whoever_cannot_reach_the_records_is_told(
    shared: Store, tmp_path: Path, postgres: Postgres, postgres_database: str
) -> None:
    holding = Holding(shared, "shop", tmp_path, SHORT)
    told: list[str] = []
    holding.on_lost.append(told.append)
    holding.take("lead")
    postgres.drop_database(postgres_database)
    wait_for(lambda: told)
    assert holding.lost
    holding.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[App]:
    """A source whose dump takes until the file `go` is there, and which notes that it has begun."""
    script = f"touch {tmp_path}/begun; until test -e {tmp_path}/go; do sleep 0.05; done; echo dump"
    app = app_of(tmp_path, "Held", "sh", "-c", script)
    yield app
    app.close()


def app_of(folder: Path, source: str, *argv: str, **settings: Any) -> App:
    """An app with one source, whose dump a program writes, and one drive."""
    config = {
        "state_folder": str(folder / "state"),
        "data_sources": [{"provider": "command", "label": source, "argv": list(argv)}],
        "drives": [{"provider": "local", "label": "Disk", "folder": str(folder / "drive")}],
        "spool": {"min_free": "1MiB"},
        **settings,
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    return App.from_config(folder / "config.yml")


def test_a_child_ends_itself_when_nobody_puts_off_its_end(held: App, tmp_path: Path) -> None:
    call = held.executor.start(held.plans, None, Order(), wait=False)
    wait_for((tmp_path / "begun").exists)
    held.executor._live_until(since_boot())
    (backup,) = call.result().backups
    assert backup.status == Status.FAILED
    assert not list((tmp_path / "drive").rglob("*backup-*"))


def test_a_child_whose_end_is_put_off_does_its_work(held: App, tmp_path: Path) -> None:
    call = held.executor.start(held.plans, None, Order(), wait=False)
    wait_for((tmp_path / "begun").exists)
    for _ in range(3):
        held.executor._live_until(since_boot() + 3600)
    (tmp_path / "go").touch()
    (backup,) = call.result().backups
    assert backup.status == Status.FINISHED


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    """One of several hosts that share their records."""
    records = {"url": server_address(request, "postgres")}
    app = app_of(tmp_path, "App", "echo", "dump", instance="shop", database=records)
    yield app
    app.close()


def test_nothing_of_a_source_is_removed_or_mended_while_another_host_backs_it_up(here: App, tmp_path: Path) -> None:
    there = Holding(here.store, "shop", tmp_path / "there", LONG)
    (backup,) = here.executor.run(here.plans, None, Order(), wait=True).backups
    next((tmp_path / "drive").rglob("backup-*.gz")).unlink()
    with alone(there, "source App", "App is being backed up already"):
        with pytest.raises(BusyError, match="App is being backed up already on"):
            here.deleter.delete(backup, "a test", force=True)
        [review] = here.reconciler.reconcile(here.config.drives, fix=True)
        assert [item.error for item in review.items] == ["App is being backed up: try again when that has ended"]
    assert here.deleter.delete(backup, "a test", force=True).is_complete
    there.close()
