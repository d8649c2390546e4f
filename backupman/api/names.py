"""Names that a caller uses of what stands in the config: each has to be there."""

from collections.abc import Iterable

from backupman.errors import NotFoundError
from backupman.registry import nearest


def must_be_known(kind: str, names: Iterable[str | None], known: list[str]) -> None:
    """Let names pass that are known, and None; `kind` says of what they are.

    Raises:
        NotFoundError: one is not known; its sentence has the nearest that is.
    """
    for name in names:
        if name is not None and name not in known:
            raise NotFoundError(f"there is no {kind} {name!r}{nearest(name, known)}")
