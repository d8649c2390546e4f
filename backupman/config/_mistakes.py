"""From pydantic's errors to sentences at the places that the user wrote; no sentence holds a value."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from backupman.config._document import Location
from backupman.registry import nearest

_WORDING = {
    "missing": "is required",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "list_type": "should be a list",
    "string_type": "should be text",
    "path_type": "should be text",
    "time_delta_type": "should be a duration such as 30s or 1h",
    "model_type": "should be a mapping of keys and values",
    "dict_type": "should be a mapping of keys and values",
    "too_short": "should not be empty",
    "string_too_short": "should not be empty",
}


def mistakes(cls: type[BaseModel], written: Any, failure: ValidationError) -> Iterator[tuple[Location, str]]:
    """Each mistake of a block, `written` of plain data for `cls`: where it is inside the block, and a sentence."""
    sentences: dict[Location, list[str]] = {}
    unions: set[Location] = set()
    for error in failure.errors(include_url=False, include_input=False):
        place, is_union = _place(written, error["loc"], is_missing=error["type"] == "missing")
        sentences.setdefault(place, []).append(_sentence(cls, place, error))
        if is_union:
            unions.add(place)
    for place, found in sentences.items():
        # A value that fits no branch of a union: what is wrong deep inside one of them is the nearer guess.
        if not (place in unions and any(other != place and other[: len(place)] == place for other in sentences)):
            yield place, _joined(list(dict.fromkeys(found)))


def _place(written: Any, location: Sequence[str | int], *, is_missing: bool) -> tuple[Location, bool]:
    """The part of pydantic's location that the user wrote, and whether it also named a branch of a union."""
    place: list[str | int] = []
    for number, part in enumerate(location, start=1):
        if isinstance(written, Mapping) and (part in written or (is_missing and number == len(location))):
            written = written.get(part)
        elif isinstance(written, list) and isinstance(part, int) and part < len(written):
            written = written[part]
        else:
            continue
        place.append(part)
    return tuple(place), len(place) < len(location)


def _sentence(cls: type[BaseModel], place: Location, error: Any) -> str:
    kind = str(error["type"])
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(place[-1]), sorted(_keys(_blocks(cls, place[:-1]))))}"
    if kind in ("value_error", "assertion_error"):
        return re.sub("^(Value error|Assertion failed), ", "", str(error["msg"]))
    return _WORDING.get(kind) or re.sub("^[A-Z][a-z]+ (?=should|is)", "", str(error["msg"]))


def _joined(sentences: list[str]) -> str:
    first, *others = sentences
    return first + "".join(f" or {other.removeprefix('should be ')}" for other in others)


def _blocks(cls: type[BaseModel], place: Location) -> list[type[BaseModel]]:
    """The models that may stand at a place of a block."""
    blocks = [cls]
    for part in place:
        fields = [info for block in blocks for name, info in block.model_fields.items() if (info.alias or name) == part]
        if fields:  # else an index of a list, or a key that the user may choose
            blocks = [model for info in fields for model in _models(info.annotation)]
    return blocks


def _keys(blocks: Sequence[type[BaseModel]]) -> set[str]:
    return {info.alias or name for block in blocks for name, info in block.model_fields.items()}


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]
