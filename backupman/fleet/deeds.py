"""Each kind of assignment as what the engine does anyway: a call that makes records, or a deed that makes none."""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from backupman.app import App, endpoints
from backupman.engine.calls import Call
from backupman.engine.dispatcher import Dispatcher
from backupman.engine.restoring import RestoreOrder
from backupman.engine.runner import Order
from backupman.engine.targets import Destination
from backupman.records import Assignment, AssignmentKind

log = logging.getLogger(__name__)

_DELIVER_FOR = timedelta(seconds=20)


def _back_up(app: App, taken: Assignment) -> Call:
    app.spools.expire()
    order = Order(**taken.details["order"], at=taken.created_at)
    return app.executor.start(app.plans, None, order, wait=taken.run_id is not None)


def _retry(app: App, taken: Assignment) -> Call:
    return app.executor.start_retry(app.plans, [app.store.backups.get(taken.details["backup"])], wait=True)


def _restore(app: App, taken: Assignment) -> Call:
    given = dict(taken.details["restore"])
    source = app.config.source(given.pop("source"))
    assert source  # noqa: S101 - the excerpt was made for it
    destination = Destination(source, given.pop("database"), given.pop("replaces"))
    backup = app.store.backups.get(given.pop("backup"))
    return app.executor.start_restore(RestoreOrder(backup=backup, destination=destination, **given))


def _verify(app: App, taken: Assignment) -> None:
    app.verifier.folders.sweep()  # of drills that died with an earlier process
    backups = (app.store.backups.get(backup_id) for backup_id in taken.details["backups"])
    checked = list(app.verifier.verify(backups, taken.details["drives"], taken.details["level"]))
    wrong = sum(each.error is not None for each in checked)
    log.info("%s: copies verified: %d, not right: %d", taken.source, len(checked), wrong)


def _deliver(app: App, _: Assignment) -> None:
    config, told = app.config, endpoints(app.config)
    Dispatcher(config.deliveries, told, app.store, config.instance, among=told).drain(_DELIVER_FOR)


CALLS: Mapping[str, Callable[[App, Assignment], Call]] = {
    AssignmentKind.BACKUP: _back_up,
    AssignmentKind.RETRY: _retry,
    AssignmentKind.RESTORE: _restore,
}
DEEDS: Mapping[str, Callable[[App, Assignment], None]] = {
    AssignmentKind.VERIFY: _verify,
    AssignmentKind.DELIVER: _deliver,
}
