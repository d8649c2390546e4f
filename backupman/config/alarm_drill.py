"""The planned proof that alarms arrive: the `alarm_drill` section."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator

from backupman.events import EventKind
from backupman.registry import Duration, Settings
from backupman.schedule import Schedule, check_cron, check_timezone, zone_of


class AlarmDrill(Settings):
    """When every channel is tried by a message that is marked as a drill."""

    cron: str = Field(description="When: 5 fields, or 6 with leading seconds, or `@weekly` and the like.")
    timezone: str | None = Field(default=None, description="The zone of `cron`; default the host's.")
    notifiers: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="Who takes part, by the names that jobs use; default all."
    )
    events: list[EventKind] = Field(
        default=[], description="Samples of these kinds instead, in earnest, for endpoints that want such events."
    )
    within: Annotated[Duration, Field(gt=timedelta(0))] = Field(
        default=timedelta(minutes=15), description="What was not delivered after so long has failed."
    )

    _check_cron = field_validator("cron")(check_cron)
    _check_timezone = field_validator("timezone")(check_timezone)

    @property
    def schedule(self) -> Schedule:
        """When it is due."""
        return Schedule(self.cron, None, zone_of(self.timezone))
