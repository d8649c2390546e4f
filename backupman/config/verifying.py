"""What is verified by the clock, how far, and what a drill works with."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, field_validator

from backupman.levels import Level
from backupman.queues import Queue
from backupman.registry import Positive, Settings
from backupman.schedule import check_cron


class JobVerify(Settings):
    """When copies of a job are verified, and how far."""

    cron: str | None = Field(default=None, description="When it runs: 5 fields, or 6 with leading seconds.")
    level: Level = Field(default="checksum", description="How far it looks: `restore` is a drill.")
    sample: int = Field(
        default=1, ge=1, description="The newest backup of each database, and others by chance, up to so many in all."
    )
    identity_file: Path | None = Field(
        default=None, description="The age identity of encrypted backups; `checksum` needs none."
    )

    queue: Queue | None = Field(
        default=None, description="Which workers verify; default those that make the source's backups."
    )

    _check_cron = field_validator("cron")(check_cron)


class Verify(JobVerify):
    """The same for all jobs, and what drills work with."""

    folder: Path | None = Field(
        default=None, description="Where drills restore; its subfolders are removed. Default `<state_folder>/drills`."
    )
    query_timeout: Positive = Field(
        default=timedelta(seconds=60), description="How long one query of `assertions` or `freshness` may take."
    )
