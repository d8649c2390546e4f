"""When records and drives are compared by the clock: the `reconcile` section."""

from pydantic import Field, field_validator

from backupman.registry import Settings
from backupman.schedule import Schedule, check_cron, check_timezone, zone_of


class Reconcile(Settings):
    """When the daemon compares the records with what the drives hold."""

    cron: str = Field(description="When: 5 fields, or 6 with leading seconds, or `@weekly` and the like.")
    timezone: str | None = Field(default=None, description="The zone of `cron`; default the host's.")
    fix: bool = Field(default=False, description="Whether it puts right what can be.")

    _check_cron = field_validator("cron")(check_cron)
    _check_timezone = field_validator("timezone")(check_timezone)

    @property
    def schedule(self) -> Schedule:
        """When it is due."""
        return Schedule(self.cron, None, zone_of(self.timezone))
