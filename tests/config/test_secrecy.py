"""No secret that stands in a config's file gets into a queue: every place of one is named, of every provider."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from backupman.config import Config
from backupman.config._document import Written
from backupman.config.excerpts import excerpts
from backupman.config.secrecy import literal_secrets
from backupman.drives import Drive
from backupman.errors import ConfigError
from backupman.notifiers import Notifier
from backupman.registry import Provider, names, provider_class
from backupman.sources import Source
from tests.config.conftest import DRIVES, SOURCES, WHOLE, Load, Mistakes
from tests.config.fleet import CONTROL, POSTGRES

SAYS = "a secret stands here as it is, or as a default, and would stand in a queue: write ${NAME}, ${file:/path} or "
SECRET = "S3cret-words"
FAMILIES: dict[str, tuple[str, Any]] = {
    "sources": ("data_sources", Source),
    "drives": ("drives", Drive),
    "notifiers": ("notifiers", Notifier),
}
Place = tuple[str | int, ...]


def secret_places(model: type[BaseModel]) -> Iterator[Place]:
    """Every place in a block where a secret can stand, by the keys of the config."""
    for name, info in model.model_fields.items():
        yield from ((info.alias or name, *place) for place in _places(info.annotation))


def _places(annotation: Any) -> Iterator[Place]:
    if annotation is SecretStr:
        yield ()
    elif inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield from secret_places(annotation)
    else:
        inner: dict[Any, Place] = {list: (0,), dict: ("key",)}
        yield from (
            (*inner.get(get_origin(annotation), ()), *place)
            for argument in get_args(annotation)
            for place in _places(argument)
        )


def block_with(annotation: Any, place: Place, secret: str) -> tuple[Any, Any]:
    """A value that holds a secret at a place and is not checked, and how a file has it."""
    if not place:
        return SecretStr(secret), secret
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        [info] = [each for name, each in annotation.model_fields.items() if (each.alias or name) == place[0]]
        value, raw = block_with(info.annotation, place[1:], secret)
        needed = {name: "" for name, each in annotation.model_fields.items() if each.is_required()}
        return annotation.model_construct(**needed | {str(place[0]): value}), {place[0]: raw}
    of, arguments = get_origin(annotation), get_args(annotation)
    if of in (list, dict):
        value, raw = block_with(arguments[-1], place[1:], secret)
        return ([value], [raw]) if of is list else ({place[0]: value}, {place[0]: raw})
    return block_with(next(one for one in arguments if place in _places(one)), place, secret)


def provider(family: str, name: str) -> type[Provider]:
    found: type[Provider] = provider_class(family, FAMILIES[family][1], name)
    return found


PLACES = [
    (family, name, place)
    for family in FAMILIES
    for name in names(family)
    for place in dict.fromkeys(secret_places(provider(family, name)))
]


def found_in(family: str, name: str, place: Place, written: str, meant: str) -> list[Place]:
    """Where in a config a secret is found that was written so at a place of a block."""
    section = FAMILIES[family][0]
    value, raw = block_with(provider(family, name), place, meant)
    _, raw = block_with(provider(family, name), place, written)
    if family == "notifiers":
        value = value.model_copy(update={"queue": "dmz"})
        config = Config.model_construct(data_sources=[], drives=[], notifiers={name: [value]})
        config.written_as(Written({section: {name: [raw]}}, {}))
        before: Place = (section, name, 0)
    else:
        blocks: dict[str, Any] = {"data_sources": [], "drives": []} | {section: [value]}
        config = Config.model_construct(**blocks)
        config.written_as(Written({section: [raw]}, {}))
        before = (section, 0)
    found = [problem.location for problem in literal_secrets(config)]
    assert all(each[: len(before)] == before for each in found)
    return [each[len(before) :] for each in found]


def test_there_are_secrets_to_be_found() -> None:
    assert len(PLACES) > 40
    assert ("sources", "postgres", ("password",)) in PLACES
    assert ("sources", "command", ("env", "key")) in PLACES
    assert ("drives", "s3", ("secret_key",)) in PLACES
    assert ("notifiers", "webhook", ("endpoints", 0, "headers", "key")) in PLACES


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(PLACES), st.text(st.characters(codec="utf-8", exclude_characters="\0${}"), min_size=1))
def test_every_secret_that_stands_there_is_found(where: tuple[str, str, Place], secret: str) -> None:
    assert found_in(*where, secret, secret) == [where[2]]
    assert found_in(*where, f"${{NAME:-{secret}}}", secret) == [where[2]]
    assert found_in(*where, "${NAME}", secret) == []


@pytest.mark.parametrize("family, name, place", PLACES, ids=str)
def test_a_reference_is_no_secret(family: str, name: str, place: Place) -> None:
    for written in ("${file:/run/x}", "${credential:x}", "Bearer ${NAME}", "${NAME:-}", "https://x/${NAME}"):
        assert found_in(family, name, place, written, SECRET) == []
    for written in (SECRET, "$${NAME}", "${NAME:-x}", f"${{NAME}}{SECRET}${{X:-y}}"):
        assert found_in(family, name, place, written, SECRET) == [place]


def test_each_place_is_told_with_its_line(mistakes: Mistakes) -> None:
    text = f"""
data_sources:
  - &a {{provider: postgres, label: a, host: h, db_name: d, user: u, password: {SECRET}}}
  - {{<<: *a, label: b}}
  - {{provider: command, label: c, argv: [x], suffix: .x, env: {{KEY: {SECRET}}}}}
scratch_servers: [{{provider: postgres, label: a, host: h, db_name: d, user: u, password: {SECRET}}}]
drives: [{{provider: s3, label: s, bucket: b, region: r, access_key: "${{KEY:-AK}}", secret_key: {SECRET}}}]
notifiers:
  webhook: {{queue: q, endpoints: [{{name: a, url: "https://x/{SECRET}"}}]}}
  ntfy: {{topic: t, access_token: {SECRET}}}
"""
    found = mistakes(CONTROL + text)
    assert [line.split(": ")[:2] for line in found] == [
        ["config.yml:6", "data_sources[0].password"],
        ["config.yml:6", "data_sources[1].password"],
        ["config.yml:8", "data_sources[2].env.KEY"],
        ["config.yml:9", "scratch_servers[0].password"],
        ["config.yml:10", "drives[0].access_key"],
        ["config.yml:10", "drives[0].secret_key"],
        ["config.yml:12", "notifiers.webhook.endpoints[0].url"],
    ]
    assert all(f": {SAYS}" in line and SECRET not in line for line in found)


def test_a_secret_is_found_in_other_texts_too(mistakes: Mistakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASS", SECRET)
    source = '{provider: postgres, label: a, host: h, db_name: d, user: u, password: "${PGPASS}", options: [%s]}'
    text = f"{DRIVES}data_sources: [{source % f'--x={SECRET}'}]\n"
    commands = f"on_error: [[page, --key, {SECRET}]]\njobs: [{{label: a, hooks: {{after_backup: 'ping {SECRET}'}}}}]\n"
    found = mistakes(CONTROL + text + commands)
    assert [line.split(": ")[1] for line in found] == [
        "data_sources[0].options[0]",
        "on_error[0][2]",
        "jobs[0].hooks.after_backup",
    ]


@pytest.mark.parametrize("password", ["backupman", "db"])
def test_a_password_that_is_a_name_too_is_no_mistake_where_it_is_the_name(
    loaded: Load, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("PGPASS", password)
    source = f'{{provider: postgres, label: a, host: db1, db_name: d, user: {password}, password: "${{PGPASS}}"}}'
    assert loaded(f"{CONTROL}{DRIVES}data_sources: [{source}]\n").config.written


def test_an_address_without_a_path_is_no_secret(loaded: Load) -> None:
    text = "notifiers: {ntfy: {queue: q, topic: t, proxy: 'http://proxy:3128', access_token: '${NAME:-}'}}\n"
    assert loaded(CONTROL + WHOLE + text).config.written


def test_the_embedded_daemon_may_have_secrets_in_its_file(loaded: Load) -> None:
    source = f"{{provider: postgres, label: a, host: h, db_name: d, user: u, password: {SECRET}}}"
    text = f"{POSTGRES}{DRIVES}data_sources: [{source}]\n"
    found = loaded(text)
    assert found.config.written is None
    with pytest.raises(ConfigError, match="only a config that was loaded from its file can be handed to workers"):
        excerpts(found.path, found.config, [])


def test_what_workers_never_see_may_stand_there(loaded: Load) -> None:
    database = POSTGRES.replace("backupman@db", f"backupman:{SECRET}@db")
    text = f"instance: a\nexecutor: procrastinate\n{database}{SOURCES}{DRIVES}http: {{api_keys: [{SECRET}]}}\n"
    assert loaded(text + f"notifiers: {{ntfy: {{topic: t, access_token: {SECRET}}}}}\n").config.written


def test_workers_need_the_records_in_postgresql(mistakes: Mistakes) -> None:
    assert mistakes(WHOLE + "executor: procrastinate\n") == [
        "config.yml:5: executor: procrastinate needs the records in PostgreSQL, for example database: {provider: "
        "postgres, host: db, user: backupman, password: '${DB_PASSWORD}'}"
    ]
    assert mistakes(WHOLE + "executor: celery\n") == ["config.yml:5: executor: should be 'embedded' or 'procrastinate'"]
