"""What the services have in common that are pinged at a URL of their own for each check."""

import re
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import httpx
from pydantic import AfterValidator, SecretStr

from backupman.events import EventKind
from backupman.naming import slug
from backupman.notifiers import Message, State, events_of
from backupman.notifiers._http import Address, HttpNotifier

_PLACES = {"{job}": "Job", "{source}": "Source", "{database}": "Database"}
_PLACE = re.compile("|".join(map(re.escape, _PLACES)))


def _plain(value: SecretStr) -> SecretStr:
    """The address with its placeholders as they were written, and without a query: that is ours to write."""
    text = value.get_secret_value().partition("?")[0].partition("#")[0].rstrip("/")
    return SecretStr(text.replace("%7B", "{").replace("%7D", "}"))


PingUrl = Annotated[Address, AfterValidator(_plain)]
"""Where a check is pinged; `{job}`, `{source}` and `{database}` in it stand for the names of what an event is about."""


class PingedNotifier(HttpNotifier):
    """A check that shows one state, the newest that it was told."""

    default_events = events_of(State.START, State.FINISH, State.FAIL)
    only_now = resolves = shows_state = True

    @property
    def apart(self) -> frozenset[str]:
        """What its URL differs by."""
        return frozenset(of for of in ("job", "source", "database") for url in self.secrets() if f"{{{of}}}" in url)


def ping_url(url: SecretStr, message: Message, /, *segments: str, **query: str | list[str] | None) -> httpx.URL:
    """The address of one ping: segments behind its path, and a query of what is not None."""
    asked: Mapping[str, str | list[str]] = {key: value for key, value in query.items() if value is not None}
    address = httpx.URL("/".join([filled(url.get_secret_value(), message), *segments]))
    return address.copy_with(params=asked) if asked else address


def filled(text: str, message: Message) -> str:
    """The text with the names of what the event is about, as slugs: lower case, `[a-z0-9_-]`."""
    names = {**message.payload, "Database": message.payload.get("Database") or _first(message)}
    return _PLACE.sub(lambda match: _slug(names.get(_PLACES[match[0]])), text)


def _first(message: Message) -> str | None:
    """The first database of several that an incident, or the bad copies of a `verify_failure`, is about.

    Its check is there, and its next success clears it.
    """
    known = message.payload
    copies = known.get("Copies") if message.event == EventKind.VERIFY_FAILURE else None
    bad = [copy["Database"] for copy in copies or [] if not copy["Good"]]
    return next(iter(bad or known.get("Databases") or []), None)


def _slug(name: object) -> str:
    return slug(str(name or "none")).replace(".", "-")


def run_of(message: Message) -> str | None:
    """The id that all events about one backup share: a canonical UUID; None where it is about no certain backup."""
    found = str(message.payload.get("Id") or "") if "DriveFiles" in message.payload else ""
    try:
        return str(UUID(found))
    except ValueError:
        return None
