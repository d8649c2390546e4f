"""What most commands import and make for themselves first: imported once, by the process that they are forked from."""

import pkgutil
from importlib import import_module

from sqlalchemy.orm import configure_mappers

import backupman.cli
from backupman.store import Store
from tests.tables import copy_tables

for name in (
    "backupman.api.server",
    "backupman.app",
    "backupman.dashboard",
    "backupman.drives.local",
    "backupman.notifiers.webhook",
    "backupman.sources.command",
    "backupman.sources.sqlite",
    "rich.progress",
    "rich.table",
    *(f"backupman.cli.{module.name}" for module in pkgutil.iter_modules(backupman.cli.__path__)),
):
    import_module(name)
configure_mappers()
copy_tables()
Store.open("sqlite://").close()
