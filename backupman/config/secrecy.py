"""Finds secrets that stand in a config's file as they are, where what the file says goes into queues."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, SecretStr

from backupman.config._document import Location, Problem
from backupman.config._references import only_refers
from backupman.config.model import Config
from backupman.registry import Provider, secrets_in

_SENTENCE = (
    "a secret stands here as it is, or as a default, and would stand in a queue: "
    "write ${NAME}, ${file:/path} or ${credential:name} instead"
)
_BLOCKS = ("data_sources", "scratch_servers", "drives")
_COMMON = ("pipeline", "jobs", "hooks", "on_error")
_PUBLIC = re.compile(r"https?://[^/@?#\s]+/?")
"""An address that is nothing but a server's name."""
_TELLING = 8
"""Characters from which on a secret is looked for in other texts too."""


def literal_secrets(config: Config) -> Iterator[Problem]:
    """Each place of what goes to workers where a secret stands in the file itself; `config` knows its file."""
    everything = None
    for value, raw, location in _handed(config, config.written.data if config.written else {}):
        if isinstance(value, Provider):
            secrets = set(value.secrets())
        else:  # commands may hold anybody's
            secrets = everything = set(secrets_in(config)) if everything is None else everything
        own = dict(_secret_texts(value, raw, location))
        others = {place: text for place, text in _texts(raw, location) if place not in own}
        together = "\n".join(others.values())
        telling = {secret for secret in secrets if len(secret) >= _TELLING and secret in together}
        telling -= {secret for secret in telling if _PUBLIC.fullmatch(secret)}
        telling -= {text for place, text in others.items() if isinstance(place[-1], str)}  # a name, perhaps of the user
        found = [place for place, text in own.items() if not only_refers(text) and not _PUBLIC.fullmatch(text)]
        found += [place for place, text in others.items() if any(secret in text for secret in telling)]
        yield from (Problem(place, _SENTENCE) for place in found)


def _handed(config: Config, raw: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Location]]:
    """Every block that may go to a worker: as it was understood, as it was written, and where."""
    for section in _BLOCKS:
        for index, block in enumerate(getattr(config, section)):
            yield block, raw[section][index], (section, index)
    for name, blocks in config.notifiers.items():
        listed = raw["notifiers"][name]
        for index, block in enumerate(blocks):
            if block.queue:
                place: Location = ("notifiers", name, index) if isinstance(listed, list) else ("notifiers", name)
                yield block, listed[index] if isinstance(listed, list) else listed, place
    for section in _COMMON:
        if section in raw:
            yield getattr(config, section), raw[section], (section,)


def _secret_texts(value: Any, raw: Any, location: Location) -> Iterator[tuple[Location, str]]:
    """The texts that a block's secrets were written as."""
    if isinstance(value, SecretStr):
        yield from _texts(raw, location)
    elif isinstance(value, BaseModel) and isinstance(raw, dict):
        for name, info in type(value).model_fields.items():
            key = info.alias or name
            if key in raw:
                yield from _secret_texts(getattr(value, name), raw[key], (*location, key))
    elif isinstance(value, dict) and isinstance(raw, dict):
        for key in value.keys() & raw.keys():
            yield from _secret_texts(value[key], raw[key], (*location, key))
    elif isinstance(value, Sequence) and isinstance(raw, list) and len(value) == len(raw):
        for index, (item, written) in enumerate(zip(value, raw, strict=True)):
            yield from _secret_texts(item, written, (*location, index))
    elif any(secrets_in(value)):  # written another way than it is understood
        yield from _texts(raw, location)


def _texts(raw: Any, location: Location) -> Iterator[tuple[Location, str]]:
    """Every text in a part of the file, and where."""
    if isinstance(raw, str):
        yield location, raw
    elif isinstance(raw, dict):
        for key, item in raw.items():
            yield from _texts(item, (*location, key))
    elif isinstance(raw, list):
        for index, item in enumerate(raw):
            yield from _texts(item, (*location, index))
