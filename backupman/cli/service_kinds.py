"""What `install-service` can make of a machine: the units of each kind, its config and its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

PROGRAM = Path("/opt/backupman/bin/backupman")
"""What the units start as they are shipped."""
_FAILED = "backupman-failed@.service"


@dataclass(frozen=True)
class Kind:
    """A service that Backupman can be."""

    units: tuple[str, ...]
    """The first is the one that is enabled."""
    config: Path = Path("/etc/backupman/config.yml")
    state: Path = Path("/var/lib/backupman")
    example: str = "example.yml"
    """The config that is put where there is none."""

    @property
    def unit(self) -> str:
        """The unit that is enabled."""
        return self.units[0]

    @property
    def service(self) -> str:
        """The unit that does the work."""
        return next(name for name in self.units if name.endswith(".service"))

    def example_text(self) -> bytes:
        """The config that is put where there is none."""
        return resources.files("backupman.config").joinpath(self.example).read_bytes()


DAEMON = Kind(("backupman.service", _FAILED))
TIMER = Kind(("backupman-run.timer", "backupman-run.service", _FAILED))
WORKER = Kind(
    ("backupman-worker.service", _FAILED),
    Path("/etc/backupman/worker.yml"),
    Path("/var/lib/backupman-worker"),
    "example-worker.yml",
)
KINDS = (DAEMON, TIMER, WORKER)


def unit_text(name: str, program: Path, words: Sequence[str] = ()) -> str:
    """A shipped unit that starts this program, with these words at the end of the command of a worker."""
    shipped = resources.files("backupman") / "systemd" / name
    if not shipped.is_file():  # in a checkout they stand beside the package
        shipped = Path(__file__).parents[2] / "systemd" / name
    text = shipped.read_text(encoding="utf-8").replace(str(PROGRAM), str(program))
    command = _worker_command(text) if words else ""
    return text.replace(command, " ".join([command, *words])) if command else text


def words_of(text: str) -> list[str]:
    """The words that `unit_text` has put at the end of the command of a worker."""
    return _worker_command(text).partition(str(WORKER.config))[2].split()


def _worker_command(text: str) -> str:
    """The line that starts a worker; nothing in the unit of another kind."""
    lines = (line for line in text.splitlines() if line.startswith("ExecStart=") and str(WORKER.config) in line)
    return next(lines, "")
