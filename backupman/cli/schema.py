"""The JSON Schema of a config file: the model's own, with the settings of every provider in its place."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from backupman import registry
from backupman.config import Config
from backupman.drives import Drive
from backupman.notifiers import Notifier
from backupman.sources import Source

_REFERENCE = {"type": "string", "pattern": r"\$\{[^}]+\}"}
_ABOUT = ("title", "description", "default")
_FAMILIES: dict[str, tuple[str, type[registry.Provider]]] = {
    "data_sources": ("sources", Source),
    "scratch_servers": ("sources", Source),
    "drives": ("drives", Drive),
    "notifiers": ("notifiers", Notifier),
}


def config_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of the whole file."""
    classes: dict[tuple[str, str], type[BaseModel]] = {
        (section, name): registry.provider_class(family, contract, name)
        for section, (family, contract) in _FAMILIES.items()
        for name in registry.names(family)
    }
    models: list[type[BaseModel]] = [Config, *classes.values()]
    refs, definitions = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    known: dict[str, Any] = definitions["$defs"]
    root = known.pop(refs[(Config, "validation")]["$ref"].removeprefix("#/$defs/"))
    properties = root["properties"]
    for section in ("data_sources", "scratch_servers", "drives"):
        branches = []
        for (of, name), cls in classes.items():
            if of == section:
                ref = refs[(cls, "validation")]
                known[ref["$ref"].removeprefix("#/$defs/")]["properties"]["provider"] = {"const": name}
                branches.append(ref)
        properties[section]["items"] = {"oneOf": branches}
    blocks = {name: refs[(cls, "validation")] for (of, name), cls in classes.items() if of == "notifiers"}
    properties["notifiers"] = {
        "type": ["object", "null"],
        "description": properties["notifiers"]["description"],
        "properties": {name: {"anyOf": [ref, {"type": "array", "items": ref}]} for name, ref in blocks.items()},
        "additionalProperties": False,
    }
    for unused in ("Source", "Drive", "Notifier"):
        known.pop(unused, None)
    relaxed: dict[str, Any] = _relaxed(root | {"$defs": known})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Backupman's config"} | relaxed


def _relaxed(schema: Any) -> Any:
    """Also what the loader takes: `${VAR}` for any scalar, a number where text is meant, and nothing for anything."""
    if isinstance(schema, list):
        return [_relaxed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: value if key in ("default", "examples") else _relaxed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        found["properties"] = {
            name: value if name in schema.get("required", []) else _or_nothing(value)
            for name, value in found["properties"].items()
        }
    kind = schema.get("type")
    if kind in ("integer", "number", "boolean"):
        about = {key: found.pop(key) for key in _ABOUT if key in found}
        words = [{"enum": ["yes", "no", "on", "off"]}] if kind == "boolean" else []
        return about | {"anyOf": [found, *words, _REFERENCE]}
    if "enum" in schema:
        plain = {"true": True, "false": False}
        found["enum"] = schema["enum"] + [plain[word] for word in schema["enum"] if word in plain]
        found.pop("type", None)
    if "enum" in schema or "const" in schema:
        return {"anyOf": [found, _REFERENCE]}
    return found | {"type": ["string", "number", "boolean"]} if kind == "string" else found


def _or_nothing(schema: dict[str, Any]) -> dict[str, Any]:
    about = {key: schema[key] for key in ("description",) if key in schema}
    return about | {"anyOf": [schema, {"type": "null"}, {"const": ""}]}
