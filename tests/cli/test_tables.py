"""`show` tells what a dump holds, beside the backup before."""

from collections.abc import Mapping

from backupman.manifest import Manifest, TableRows
from backupman.store import Store
from tests.e2e.world import World

NAMES = [f"table_{number:02}" for number in range(25)]


def keep(world: World, backup_id: str, tables: Mapping[str, int | None], *, same_snapshot: bool = True) -> None:
    """Put a manifest into the records, as a source with one does."""
    store = Store.open(f"sqlite:///{world.folder}/state/backupman.db")
    rows = [TableRows(name=name, rows=count, exact=name != "guessed") for name, count in tables.items()]
    store.proofs.keep_manifest(
        backup_id, Manifest(provider="sqlite", facts={}, tables=rows, same_snapshot=same_snapshot)
    )
    store.close()


def test_tables_are_shown_with_their_change(world: World) -> None:
    world.config["notifiers"] = {}
    for _ in range(2):
        assert world.run("run", "-q").code == 0
    newest, first = (backup["Id"] for backup in world.backups())
    keep(world, first, {"orders": 1000, "gone": 1} | dict.fromkeys(NAMES, 1))
    keep(world, newest, {"orders": 990, "new one": 3, "guessed": 12, "unknown": None} | dict.fromkeys(NAMES, 1))
    said = world.run("show", newest).out
    block = said[said.index("Tables") :].split("\n\n")[0].splitlines()
    assert [line.split() for line in block[1:4]] == [
        ["TABLE", "ROWS", "CHANGE"],
        ["guessed", "~12", "new"],
        ["new", "one", "3", "new"],
    ]
    assert ["orders", "990", "-10"] in [line.split() for line in block]
    assert "  … and 9 tables more; --json shows all" in block
    assert "  ! not there any more: gone" in block
    shown = world.run("show", newest, "--json").json["Manifest"]
    assert (len(shown["Tables"]), shown["Gone"]) == (29, ["gone"])
    assert shown["Tables"][0] == {"Name": "orders", "Rows": 990, "Exact": True, "Change": -10, "New": False}
