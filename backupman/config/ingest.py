"""What other machines may report, and whose results are expected."""

from typing import Annotated

from pydantic import Field, field_validator

from backupman.registry import Positive, Settings

Name = Annotated[str, Field(min_length=1, max_length=255)]


class IngestedJob(Settings):
    """A job of another machine whose results are expected at the ingest API."""

    sender: Name = Field(default="unknown@ingest", description="As the script sends it.")
    device: Name = Field(description="As the script sends it.")
    job: Name = Field(description="As the script sends it.")
    max_age: Positive = Field(description="How old its newest good result may be.")


class Ingest(Settings):
    """What other machines may report."""

    rate: int = Field(default=120, ge=1, description="Requests a minute and key.")
    jobs: list[IngestedJob] = Field(default=[], description="Whose results are expected, and how often.")

    @field_validator("jobs")
    @classmethod
    def _once(cls, jobs: list[IngestedJob]) -> list[IngestedJob]:
        """Sender, device and job together are one job."""
        names = [(job.sender, job.device, job.job) for job in jobs]
        for sender, device, job in sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{job!r} of {sender!r} on {device!r} stands there twice; give it one max_age")
        return jobs
