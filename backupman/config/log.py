"""The log of the daemon: the `log` section."""

from typing import Literal

from pydantic import Field

from backupman.registry import Settings


class Log(Settings):
    """What the daemon logs, and how its lines look."""

    format: Literal["human", "json"] = Field(default="human", description="For people, or for programs.")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="This and what is worse is logged."
    )
