"""`reconcile` once more: after one that was killed, and when all is right again."""

from pathlib import Path
from typing import Any

from tests.cli.conftest import Inside
from tests.cli.test_reconcile import events, files, findings, reconciled, the_object, world

__all__ = ["world"]


def test_what_a_killed_fix_has_left_does_not_stand_in_the_way_of_the_next_one(
    world: dict[str, Any], inside: Inside, tmp_path: Path
) -> None:
    before = files(tmp_path / "Disk")
    for path in (tmp_path / "Disk").glob("app/backup-*"):
        path.rename(f"{path}.part")
    [result] = reconciled(inside, "--drive", "Disk", "--fix", code=0)
    assert findings(result) == [("missing", True)]
    assert files(tmp_path / "Disk").keys() == before.keys()


def test_that_all_is_right_again_is_told_once(world: dict[str, Any], inside: Inside, tmp_path: Path) -> None:
    path, right = the_object(tmp_path / "Disk"), the_object(tmp_path / "Disk").read_bytes()
    path.write_bytes(b"cut off")
    reconciled(inside, code=1)
    path.write_bytes(right)
    for _ in range(2):
        reconciled(inside, code=0)
    again, wrong = events(tmp_path)
    assert (wrong["Failed"], again["Failed"], again["Reason"]) == (1, 0, "Disk: 1 copy is as recorded")
