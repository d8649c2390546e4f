"""What a shell offers behind a command: ids, labels, events. Quick, and silent whatever is wrong.

The labels are read from the YAML as it stands, so that they are offered while the config still has mistakes; nothing is
made, migrated or connected to but records that are there.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backupman.cli.call import Call
from backupman.naming import LATEST

if TYPE_CHECKING:
    from backupman.config import Config
    from backupman.store import Store

_IDS = 50
Offers = list[str | tuple[str, str]]
"""Words, or words with what is said of them."""
Offer = Callable[[Any, list[str], str], Offers]


def _quiet(find: Callable[[Call], Iterator[str | tuple[str, str]]]) -> Offer:
    """As Typer calls it: what begins as the typed word does; nothing when it cannot be found."""

    def offer(ctx: Any, args: list[str], incomplete: str) -> Offers:
        found: Offers = []
        with suppress(Exception):  # a trace would stand in the middle of what is being typed
            for each in find(_call(ctx)):
                word = each if isinstance(each, str) else each[0]
                if word.startswith(incomplete):
                    found.append(_for_bash(word) if _is_bash() else each)
        return found

    return offer


def _is_bash() -> bool:
    return os.environ.get("_BACKUPMAN_COMPLETE") == "complete_bash"


def _for_bash(word: str) -> str:
    """The word as it is typed: other shells escape by themselves."""
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", word)


def _call(ctx: Any) -> Call:
    """The call as far as it is typed: the last `--config` counts."""
    while ctx:
        if named := ctx.params.get("config"):
            return Call(config=Path(named))
        ctx = ctx.parent
    return Call()


def _labels(section: str) -> Offer:
    def find(call: Call) -> Iterator[str]:
        import yaml

        blocks = yaml.safe_load(call.config_file().read_text(encoding="utf-8")).get(section) or []
        for block in blocks:
            if label := block.get("label"):
                yield str(label)

    return _quiet(find)


def _of_records(find: "Callable[[Store], Iterator[str | tuple[str, str]]]") -> Offer:
    def offer(call: Call) -> Iterator[str | tuple[str, str]]:
        config = call.load().config
        if _is_there(config):
            with call.records() as (_, store):
                yield from find(store)

    return _quiet(offer)


def _is_there(config: "Config") -> bool:
    """Whether the records were made already: completing makes no file."""
    from sqlalchemy import make_url

    url = make_url(config.database.address(config.state_folder))
    return url.get_backend_name() != "sqlite" or bool(url.database and Path(url.database).exists())


def _backups(store: "Store") -> Iterator[str | tuple[str, str]]:
    from backupman.cli.output import local, one_line

    yield LATEST, "the newest"
    for backup in store.backups.list(limit=_IDS):
        yield backup.id[:8], f"{one_line(backup.label, 60)}, {local(backup.created_at)}, {backup.status}"


def _events(store: "Store") -> Iterator[str | tuple[str, str]]:
    yield LATEST, "the newest"
    for event in store.outbox.events(limit=_IDS):
        yield event.id[:8], str(event.kind)


def _deliveries(store: "Store") -> Iterator[str | tuple[str, str]]:
    for delivery in store.outbox.deliveries(limit=_IDS):
        yield str(delivery.id), f"{delivery.event.kind} to {delivery.endpoint}, {delivery.state}"


def _kinds(call: Call) -> Iterator[str]:
    from backupman.events import EventKind

    yield from map(str, EventKind)


def _endpoints(call: Call) -> Iterator[str]:
    for notifier in call.load().config.all_notifiers():
        for endpoint in notifier.endpoints():
            yield endpoint.name


backups = _of_records(_backups)
events = _of_records(_events)
deliveries = _of_records(_deliveries)
sources = _labels("data_sources")
drives = _labels("drives")
jobs = _labels("jobs")
kinds = _quiet(_kinds)
endpoints = _quiet(_endpoints)
