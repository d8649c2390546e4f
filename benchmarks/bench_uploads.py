"""Uploads: S3 beside `aws s3 cp`, a slow drive beside a quick one, and whether a slow drive holds up the dump.

Everything goes to an S3 server of our own on this machine, over plain HTTP, that keeps nothing; where it has to be slow
it takes so many bytes a second. What is compared is taken in turn, and a ratio is the median of those of the turns.
`aws`: a spooled dump onto S3 by the data plane, its start included, beside `aws s3 cp` of the same file. `two`: a dump
onto a drive of 50 MB/s and a local one at once, beside the longer of its halves alone, and beside the shell. `held`: a
tool that says how long its writes took, beside a drive of 1 MB/s and without; that drive is let go after the dump.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _sample
from _measure import cannot_measure, children_seconds, ratio, spread, tell, title, told_ratio, version_of, workplace
from _servers import postgres
from _sink import Sink, sink
from _ways import ZSTD, Ours, Shell, in_turn

from backupman.data_plane import DataPlane
from backupman.data_plane.messages import Message, Uploaded
from backupman.data_plane.tasks import DriveTask, UploadTask
from backupman.retry import NO_RETRY

_AWS = Path(__file__).parent.parent / "build/awscli/bin/aws"
_QUICK, _SLOW = 50e6, 1e6
"""Bytes a second."""


@dataclass
class Spooled:
    """The upload of a spooled dump by the data plane, as after an outage, and what its runs have taken."""

    spool: Path
    drive: dict[str, Any]
    whole: list[float] = field(default_factory=list)
    """Seconds with the start of the child."""
    alone: list[float] = field(default_factory=list)
    """Seconds of the upload itself."""
    processor: list[float] = field(default_factory=list)
    """Of the child; the server's is not among it."""

    def __post_init__(self) -> None:
        self._sha256 = hashlib.sha256(self.spool.read_bytes()).hexdigest()

    def run(self) -> None:
        """Upload it once, under a new name."""
        task = UploadTask(
            spool=self.spool,
            object_name=f"sample/{uuid.uuid4()}",
            sidecar={},
            sha256=self._sha256,
            drives=[DriveTask(label="Sink", settings=self.drive)],
            parallel=None,
            retry=NO_RETRY,
        )
        said: list[Message] = []
        started, used = time.perf_counter(), children_seconds()
        DataPlane().run(task, said.append)
        self.whole.append(time.perf_counter() - started)
        self.processor.append(children_seconds() - used)
        uploaded = [message for message in said if isinstance(message, Uploaded)]
        if not uploaded:
            cannot_measure(f"the upload failed: {said[-1]}")
        self.alone.append(uploaded[0].seconds)

    def forget(self) -> None:
        """Begin to count anew."""
        self.whole, self.alone, self.processor = [], [], []


def main() -> None:
    """Measure all three."""
    measures: dict[str, Callable[[Path, list[Path], int], None]] = {"aws": beside_aws, "two": onto_two, "held": held}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the sample data, before compression")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=list(measures), help="one subject instead of all")
    asked, _ = parser.parse_known_args()
    title(f"Uploads of dumps of {asked.megabytes} MB of rows, zstd; medians of {asked.turns} turns")
    print(f"  {version_of(aws(), '--version')}\n  {version_of('pg_dump', '--version')}\n")
    with workplace() as folder:
        folder.chmod(0o755)
        files = _sample.write(folder, asked.megabytes)
        for name, measure in measures.items():
            if asked.only in (None, name):
                measure(folder, files, asked.turns)


def beside_aws(folder: Path, files: list[Path], turns: int) -> None:
    """The sample as it stands in the spool, as quickly as the server takes it."""
    spool = packed(folder, files)
    with sink() as server:
        ours, theirs = Spooled(spool, server.drive()), Shell(copy_to(server, spool), folder / "none")
        in_turn(turns, theirs, ours)
    tell(f"S3, {spool.stat().st_size / 1e6:.0f} MB from the spool: with the start of the child", spread(ours.whole))
    tell("  the upload alone", spread(ours.alone))
    tell("  aws s3 cp", spread(theirs.taken.whole))
    told_ratio("S3 from the spool / aws s3 cp", ratio(ours.whole, theirs.taken.whole), 0.6)
    told_ratio("S3 from the spool, the upload alone / aws s3 cp", ratio(ours.alone, theirs.taken.whole), 0.6)
    tell("S3 from the spool: processor time / aws s3 cp", f"{ratio(ours.processor, theirs.taken.processor):.2f}")


def onto_two(folder: Path, files: list[Path], turns: int) -> None:
    """A dump onto a drive of 50 MB/s and a local one, at once, and one after the other."""
    out = folder / "out"
    with postgres() as socket, sink(_QUICK) as server:
        _sample.into_postgres(socket, files)
        source = {"provider": "postgres", "socket": str(socket), "user": "postgres", "db_name": "postgres"}
        dump = f"pg_dump --no-password -h {socket} -U postgres postgres | zstd -3 -T2 -q > {out}"
        two = Ours(folder / "two", source, ZSTD, {"drives": [local(folder / "two"), server.drive()]})
        dumped, sent = Ours(folder / "one", source, ZSTD), Spooled(packed(folder, files), server.drive())
        shell = Shell(f"{dump} && {copy_to(server, out)} && cp {out} {out}.copy", out)
        in_turn(turns, shell, two, dumped, sent)
    longer = [max(halves) for halves in zip(dumped.plane, sent.alone, strict=True)]
    longer_whole = [max(halves) for halves in zip(dumped.taken.whole, sent.whole, strict=True)]
    stored = f"{two.stored / 1e6:.0f} MB stored"
    tell(f"onto 50 MB/s and a local drive at once, {stored}: whole process", spread(two.taken.whole))
    tell("  until both drives have all", spread(two.uploads))
    tell("  the dump onto the local drive alone: data plane", spread(dumped.plane))
    tell("  the upload alone, from the spool", spread(sent.alone))
    tell("  shell: dump, then aws s3 cp, then cp", spread(shell.taken.whole))
    told_ratio("both drives at once / the longer of the dump and the upload", ratio(two.uploads, longer), 1.15)
    tell("the same, whole processes", f"{ratio(two.taken.whole, longer_whole):.2f}")
    told_ratio("both drives at once, whole process / shell", ratio(two.taken.whole, shell.taken.whole), 0.65)


def held(folder: Path, files: list[Path], turns: int) -> None:
    """How long a tool waits for its reader: with a drive of 1 MB/s beside the local one, and without."""
    dump, told = folder / "dump.tsv", folder / "told"
    with dump.open("wb") as whole:
        for file in files:
            with file.open("rb") as part:
                shutil.copyfileobj(part, whole, 2**20)
    tool = str(Path(__file__).with_name("_tool.py"))
    source = {"provider": "command", "argv": [sys.executable, tool, str(dump), str(told)]}
    with sink(_SLOW) as server:
        both = {"drives": [local(folder / "slow"), server.drive()]}
        slow = Ours(folder / "slow", source, ZSTD, both, watch=lambda: server.take(0) if told.exists() else None)
        alone = Ours(folder / "alone", source, ZSTD)
        seconds: dict[str, list[float]] = {"slow": [], "alone": []}
        for turn in range(turns + 1):
            for name, way in {"alone": alone, "slow": slow}.items():
                server.take(_SLOW)
                way.run()
                if turn:
                    seconds[name].append(float(told.read_text()))
                else:
                    way.forget()
                told.unlink()
    dump.unlink()
    tell(f"dump of {slow.size / 1e6:.0f} MB: blocked beside a drive of 1 MB/s", spread(seconds["slow"]))
    tell("  blocked without that drive, by the compressor", spread(seconds["alone"]))
    told_ratio("the tool is blocked: with the slow drive / without", ratio(seconds["slow"], seconds["alone"]), 1.1)
    told_ratio("the dump takes: with the slow drive / without", ratio(slow.plane, alone.plane), 1.1)


def packed(folder: Path, files: list[Path]) -> Path:
    """The sample as it is stored: compressed, in one file."""
    spool = folder / "sample.zst"
    if not spool.exists():
        subprocess.run(f"cat {' '.join(map(str, files))} | zstd -3 -T2 -q -o {spool}", shell=True, check=True)  # noqa: S602 - our own
    return spool


def local(folder: Path) -> dict[str, str]:
    """A local drive."""
    return {"provider": "local", "label": "Disk", "folder": str(folder / "drive")}


def copy_to(server: Sink, file: Path) -> str:
    """The command of AWS's client; nothing of the user's own settings."""
    own = "AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true"
    nothing = "AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null"
    return f"env {own} {nothing} {aws()} --endpoint-url {server.url} s3 cp --quiet {file} s3://sink/aws"


def aws() -> str:
    """AWS's own client."""
    return (
        str(_AWS) if _AWS.exists() else shutil.which("aws") or cannot_measure("no aws: scripts/bench-peers brings it")
    )


if __name__ == "__main__":
    main()
