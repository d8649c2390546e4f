"""The same work spread over many hosts: assignments in Procrastinate's queues, taken by `backupman worker`.

The control host (`backupman serve`, by `control`) hands out (`handing`, `runs`), hears how things go on (`channel`) and
sees to what dead workers left (`reaping`). A worker takes and does (`worker`, `tasks`). Both meet in PostgreSQL alone.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from backupman.app import App
from backupman.engine.live import Live
from backupman.errors import ConfigError

if TYPE_CHECKING:
    from backupman.fleet.control import Control


def control_of(app: App, live: Live, clock: Callable[[], datetime]) -> "Control | None":
    """What a daemon hands out to workers with; None where it does everything itself.

    Raises:
        ConfigError: Procrastinate is not installed, or a worker could not be handed something of the config.
        StoreError: the queues cannot be made.
    """
    if app.config.executor != "procrastinate":
        return None
    try:
        from backupman.fleet.control import Control
    except ModuleNotFoundError as error:
        raise ConfigError(f"executor: procrastinate needs {error.name}: pip install 'backupman[fleet]'") from error
    return Control(app, live, clock)
