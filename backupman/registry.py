"""Finds the provider class of a family by its file name, and imports it only when it is configured.

A family is a folder (`sources`, `drives`, `notifiers`). Its `__init__` holds the contract, every other file in it is
one provider whose name is the file's name, and a leading underscore marks a helper.
"""

import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, SecretStr, WithJsonSchema

from backupman.errors import BackupmanError, ConfigError
from backupman.text import did_you_mean, without

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_LONGEST = timedelta(days=36525)
_SIZES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_duration(value: object) -> object:
    """`500ms`, `5s`, `30m`, `1h`, `2d`, `1w`; a bare number is seconds. Other types are left to pydantic."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", value.lower())
    unit = _UNITS.get(match[2] or "s") if match else None
    if not match or unit is None:
        raise ValueError(f"{value!r} is not a duration: write for example 500ms, 5s, 30m, 1h or 2d")
    try:
        return float(match[1]) * unit
    except OverflowError:
        raise ValueError(f"{value!r} is too long a duration") from None


def format_duration(value: timedelta) -> str:
    """A duration as the config writes it, in the largest unit that leaves no fraction."""
    for name, unit in reversed(_UNITS.items()):
        if value and name != "w" and not value % unit:
            return f"{value // unit}{name}"
    return f"{value / _UNITS['ms']:.3f}ms" if value else "0s"


def parse_size(value: object) -> object:
    """`8MiB`, `1 GB`, `512k`, all powers of 1024; a bare number is bytes."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?\s*", value.lower())
    if not match:
        raise ValueError(f"{value!r} is not a size: write for example 8MiB or 1GiB")
    return int(Decimal(match[1]) * _SIZES[match[2]])


def _bounded(value: timedelta) -> timedelta:
    if value > _LONGEST:  # or it would lead out of the calendar, where nothing is ever due
        raise ValueError("should not be longer than a hundred years")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    AfterValidator(_bounded),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": ["string", "number"], "examples": ["500ms", "5s", "30m", "1h", "2d"]}),
]
"""A span of time in the config; a bare number is seconds."""


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("should be longer than 0s")
    return value


Positive = Annotated[Duration, AfterValidator(_positive)]
"""A duration that is not nothing."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["8MiB", "1GiB"]}),
]
"""A number of bytes in the config."""


class Settings(BaseModel):
    """A frozen block of the config: unknown keys are refused, what is empty means absent."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,  # the input of a rule over several settings is all of them, passwords too
    )


class Provider(Settings):
    """One configured source, drive or notifier: its fields are its settings, its methods its behaviour."""

    def secrets(self) -> Iterator[str]:
        """Every secret among the settings, however deep, for `redact`."""
        return secrets_in(self)

    def redact(self, text: str) -> str:
        """The text without any of this provider's secrets."""
        return without(self.secrets(), text)

    def warnings(self) -> list[str]:
        """Sentences about settings that are allowed and probably not meant, for `config check`."""
        return []

    def folders(self) -> dict[Path, bool]:
        """The folders of this machine that its settings lead to, and whether it writes there."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return {value.parent: False for value in values if isinstance(value, Path)}

    def revealed(self) -> dict[str, Any]:
        """The settings as JSON values with the secrets in clear: only ever for the child's standard input."""
        revealed: dict[str, Any] = json.loads(
            json.dumps(self.model_dump(exclude_unset=True, by_alias=True), default=_plain)
        )
        return revealed


def secrets_in(value: object) -> Iterator[str]:
    """Every secret in settings, lists and mappings, however deep, without blanks around it, which others leave out."""
    if isinstance(value, SecretStr):
        if secret := value.get_secret_value().strip():
            yield secret
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_in(item)


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


T = TypeVar("T", bound=Provider)


def names(family: str) -> list[str]:
    """The names of the providers of a family (`sources`, `drives`, `notifiers`), sorted."""
    package = import_module(f"backupman.{family}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def provider_class(family: str, contract: type[T], name: str) -> type[T]:
    """The class of one provider.

    Raises:
        ConfigError: no such provider, or a package that it needs is not installed.
    """
    known = names(family)
    if name not in known:
        raise ConfigError(f"unknown provider {name!r}{nearest(name, known)}; known are {', '.join(known)}")
    try:
        module = import_module(f"backupman.{family}.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(f"{name} needs the package {error.name}: pip install 'backupman[all]'") from error
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, contract) and member.__module__ == module.__name__ and not inspect.isabstract(member)
    ]
    if len(found) != 1:
        raise BackupmanError(f"backupman/{family}/{name}.py holds {len(found)} providers instead of one")
    return found[0]


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean 'bucket'?`, or nothing where no known word is near."""
    return did_you_mean(word.lower(), {str(each).lower(): repr(str(each)) for each in known})
