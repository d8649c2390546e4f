"""What a drive has to hold before copies are removed from it: the records do not know what others have removed."""

from collections.abc import Iterable, Sequence

from backupman.data_plane.tasks import Floor
from backupman.records import DriveFile


def witnesses_of(going: Iterable[DriveFile], kept: Iterable[DriveFile]) -> list[str]:
    """What the right disk holds: what goes, and the oldest that stays, as the newest may be all that another has."""
    oldest = sorted(kept, key=lambda file: file.backup.created_at)[:1]
    return [file.ref for file in (*going, *oldest) if file.ref]


def floors_of(going: Sequence[DriveFile], kept: Sequence[DriveFile]) -> list[Floor]:
    """For each database: one of the copies that stay and are sound, and for proved ones a proved one."""
    floors = []
    for database in dict.fromkeys(file.backup.database for file in going):
        above = [index for index, file in enumerate(going) if file.backup.database == database]
        staying = [file for file in kept if file.backup.database == database]
        sound = [file for file in staying if file.verify_error is None] or staying
        of = f"copies of {going[above[0]].backup.label}"
        floors.append(_floor(of, sound, above))
        if above := [index for index in above if going[index].proved_at]:
            floors.append(_floor(f"proved {of}", [file for file in sound if file.proved_at], above))
    return floors


def _floor(of: str, staying: Sequence[DriveFile], above: list[int]) -> Floor:
    return Floor(of=of, stay=[(file.ref, file.size) for file in staying if file.ref], above=above)
