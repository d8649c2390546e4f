"""`config`: checked without a connection, shown without a secret, explained by a schema and an example that load."""

import json
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from backupman import registry
from backupman.cli.schema import config_schema
from backupman.config import Config, load
from backupman.drives import Drive
from backupman.notifiers import Notifier
from backupman.sources import Source
from tests.cli.conftest import Inside

ROOT = Path(__file__).parents[2]
EXAMPLE = resources.files("backupman.config").joinpath("example.yml").read_text(encoding="utf-8")
WHOLE = re.sub(r"^( *)#(?=[^ #\n]|  \S)", r"\1", EXAMPLE, flags=re.MULTILINE)
"""The example with everything switched on: `#setting`, and the lines of a block that begins so."""
ORIGINAL = """
database: {provider: mysql, host: 127.0.0.1, port: 3306, db_name: backupman, user: root, password: root, tls: false}
data_sources:
  - {provider: mysql, label: MySQL 1, host: 127.0.0.1, port: 3306, db_name: backupman, user: root, password: root,
     tls: false, tmp_folder: ./tmp/mysql}
  - {provider: postgres, label: Postgres 1, host: 127.0.0.1, port: 5432, db_name: backupman, user: postgres,
     password: postgres, tls: false, tmp_folder: ./tmp/postgres}
  - {provider: sqlite, label: SQLite 1, db_path: /path/to/database.db, tmp_folder: ./tmp/sqlite}
drives:
  - {provider: local, label: Local Drive, folder: ./tmp/drive}
  - {provider: google_drive, label: Google Drive, folder: demo, client_secret_file: ./google-client-secret.json,
     token_file: ./google-token.json}
  - {provider: s3, label: S3 Drive, bucket: my-backup-bucket, region: us-east-1, access_key: YOUR_ACCESS_KEY,
     secret_key: YOUR_SECRET_KEY, endpoint: "", prefix: backups, force_path_style: false}
notifiers:
  mail: {enabled: true, smtp_host: smtp.example.com, smtp_port: 587, smtp_user: user, smtp_password: password,
         smtp_crypto: ssl, destinations: [{name: Admin, email: admin@example.com}]}
  webhook: {enabled: true, endpoints: [{name: My Webhook, url: "http://localhost:8080/webhook", token: xxx}]}
retention: {enabled: true, by: age, value: 30}
http: {app_url: "http://localhost:8080", api_keys: [apikey1], backup_job: {enabled: true, cron: "* * * * * *"}}
"""
"""The original program's own example (config-example.yml of heryTz/backupman)."""


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every environment variable that the example names."""
    for name in re.findall(r"\$\{([A-Z0-9_]+)\}", EXAMPLE):
        monkeypatch.setenv(
            name, "whsec_" + "A" * 44 if "WEBHOOK" in name and "TOKEN" not in name else f"{name}-from-outside"
        )


def test_a_right_config(config: dict[str, Any], inside: Inside) -> None:
    ended = inside("config", "check")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "✓ config.yml is right: 1 source, 1 drive, 1 job, nobody is told.\n"


def test_every_mistake_with_its_line_and_the_nearest_key(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "config.yml").write_text(
        "data_sources:\n  - {provider: sqlite, label: A, db_pth: x}\n"
        "drives:\n  - {provider: lokal, label: D}\nhtp: {}\n"
    )
    ended = inside("config", "check")
    assert (ended.code, ended.out) == (2, "")
    head, *lines = ended.err.splitlines()
    assert head == f"Error: {len(lines)} mistakes:"
    for line, words in {2: "db_path", 4: "local", 5: "http"}.items():
        assert [each for each in lines if each.startswith(f"config.yml:{line}: ") and words in each]


def test_warnings_are_no_mistakes(config: dict[str, Any], tmp_path: Path, inside: Inside) -> None:
    config["notifiers"] = {"webhook": {"endpoints": [{"name": "Ops", "url": "http://ops.example.com/"}]}}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    ended = inside("config", "check")
    assert ended.code == 0
    assert ended.err.startswith("! webhook/Ops: ")
    assert inside("config", "check", "-q").out == ""


@pytest.mark.parametrize("provider", ["postgres", "mariadb"])
@pytest.mark.parametrize(
    ("which", "warned"),
    [
        ({"db_name": "all"}, True),
        ({"databases": ["all"]}, True),
        ({"databases": "all"}, False),
        ({"db_name": "a"}, False),
    ],
    ids=str,
)
def test_a_database_with_the_name_all_is_hardly_meant(
    provider: str, which: dict[str, Any], warned: bool, config: dict[str, Any], tmp_path: Path, inside: Inside
) -> None:
    config["data_sources"] = [{"provider": provider, "label": "Main", "user": "backup", **which}]
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    ended = inside("config", "check")
    said = (
        "! Main: only a database with the name all is dumped: for every database of the server write `databases: all`"
    )
    assert (ended.code, said in ended.err) == (0, warned)


@pytest.mark.parametrize(
    ("source", "asked", "warned"),
    [
        ({"provider": "postgres", "user": "backup", "db_name": "shop"}, "shpo", "; did you mean 'shop'?"),
        ({"provider": "postgres", "user": "backup", "db_name": "shop"}, "shop", None),
        ({"provider": "mariadb", "user": "backup", "databases": ["shop", "blog"]}, "wiki", ""),
        ({"provider": "mariadb", "user": "backup", "databases": ["shop", "blog"]}, "blog", None),
        ({"provider": "postgres", "user": "backup", "databases": "all"}, "wiki", None),
        ({"provider": "sqlite", "db_path": "/srv/shop.db"}, "shop.db", "; did you mean 'shop'?"),
    ],
    ids=str,
)
@pytest.mark.parametrize("of", ["assertions", "freshness"])
def test_what_a_drill_would_never_ask_is_said(
    of: str,
    source: dict[str, Any],
    asked: str,
    warned: str | None,
    config: dict[str, Any],
    tmp_path: Path,
    inside: Inside,
) -> None:
    question = {"database": asked, "sql": "SELECT max(at) FROM orders"}
    questions = {"assertions": [question | {"expect": "> 2026-01-01"}], "freshness": question}
    config["data_sources"] = [{"label": "Main", **source, of: questions[of]}]
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    ended = inside("config", "check")
    assert (ended.code, "! Main: a drill never asks what `assertions`" in ended.err) == (0, warned is not None)
    assert warned is None or f"{asked}, of which there is no dump{warned}\n" in ended.err


def test_checking_opens_nothing_and_makes_nothing(config: dict[str, Any], tmp_path: Path, inside: Inside) -> None:
    inside("config", "check")
    inside("config", "show")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]


WORKER = """instance: shop
database: {url: "postgresql://backupman:S3cret@db.example.com/backupman"}
worker:
  queues: [db7]
  allow: [{provider: postgres, host: localhost}]
"""


def test_a_workers_own_config_is_looked_at_as_the_worker_does(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "worker.yml").write_text(WORKER)
    ended = inside("config", "check", "-c", "worker.yml")
    assert (ended.code, ended.err) == (0, "")
    assert " ".join(ended.out.split()) == (
        "✓ worker.yml is right: a worker of shop, takes from db7 and any, sources by 1 rule, runs no hooks."
    )
    shown = inside("config", "show", "-c", "worker.yml").out
    assert "S3cret" not in shown
    assert yaml.safe_load(shown)["worker"]["queues"] == ["db7"]
    (tmp_path / "worker.yml").write_text(WORKER.replace("queues", "queue") + "jobs: []\nnise: 5\n")
    ended = inside("config", "check", "-c", "worker.yml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "Error: 2 mistakes:",
        "worker.yml:4: worker.queue: unknown key; did you mean 'queues'?",
        "worker.yml:7: nise: unknown key; did you mean 'nice'?",
    ]


def test_a_whole_config_is_looked_at_as_a_worker_does_where_that_is_asked_for(
    config: dict[str, Any], tmp_path: Path, inside: Inside
) -> None:
    assert "database: a worker needs the control host's PostgreSQL" in inside("config", "check", "--worker").err
    config |= {"instance": "shop", "database": {"url": "postgresql://b@db/backupman"}}
    config["drives"][0]["folder"] = "${NOT_ON_THIS_HOST}"
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    assert "NOT_ON_THIS_HOST" in inside("config", "check").err
    assert "a worker of shop, takes from any," in " ".join(inside("config", "check", "--worker").out.split())
    assert set(yaml.safe_load(inside("config", "show", "--worker").out)) == {"instance", "database", "state_folder"}


def test_show_masks_every_secret(variables: None, tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "config.yml").write_text(EXAMPLE)
    shown = inside("config", "show").out
    assert "from-outside" not in shown
    assert "*****" in shown
    assert yaml.safe_load(shown)["data_sources"][0]["label"] == "Main server"


def test_the_example_is_printed_and_loads(variables: None, tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "config.yml").write_text(inside("config", "example").out)
    assert (tmp_path / "config.yml").read_text() == EXAMPLE
    assert inside("config", "check").code == 0


def test_the_example_loads_with_everything_switched_on(variables: None, tmp_path: Path) -> None:
    one_of = ("secret: ", "url: postgresql", "known_hosts: ")
    lines = [line for line in WHOLE.splitlines() if not line.strip().startswith(one_of)]
    (tmp_path / "config.yml").write_text("\n".join(lines))
    assert load(tmp_path / "config.yml").config.drive("Google") is not None


def keys(model: type[BaseModel]) -> set[str]:
    """The keys of a block and of the blocks in it, without those that a provider brings."""
    found: set[str] = set()
    for name, info in model.model_fields.items():
        found.add(info.alias or name)
        for inner in _blocks(info.annotation):
            if not issubclass(inner, Source | Drive | Notifier):
                found |= keys(inner)
    return found


def _blocks(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for argument in getattr(annotation, "__args__", ()) for block in _blocks(argument)]


CONTRACTS: list[tuple[str, Any]] = [("sources", Source), ("drives", Drive), ("notifiers", Notifier)]
MODELS: list[type[BaseModel]] = [
    Config,
    *(registry.provider_class(family, of, name) for family, of in CONTRACTS for name in registry.names(family)),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_example_shows_every_setting(model: type[BaseModel]) -> None:
    missing = [key for key in sorted(keys(model)) if not re.search(rf"(^|[ {{]|- ){key}:", WHOLE, re.MULTILINE)]
    assert missing == []


def test_the_example_at_the_root_is_the_packaged_one() -> None:
    assert (ROOT / "config.example.yml").read_text(encoding="utf-8") == EXAMPLE
    assert (ROOT / "config.example.yml").is_symlink()


@cache
def validator() -> jsonschema.Draft202012Validator:
    """What looks at configs by the schema; `jsonschema.validate` would look at the schema itself each time."""
    return jsonschema.Draft202012Validator(config_schema())


def test_a_config_of_the_original_program_loads(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "config.yml").write_text(ORIGINAL)
    ended = inside("config", "check")
    assert ended.code == 0, ended.err
    assert "587" in ended.err, "the example's pair of port and crypto cannot work, which is worth a warning"
    validator().validate(yaml.safe_load(ORIGINAL))


def test_the_schema_is_one_and_the_example_fits_it(inside: Inside) -> None:
    schema = json.loads(inside("config", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == config_schema()
    validator().validate(yaml.safe_load(EXAMPLE))


@pytest.mark.parametrize(
    "change",
    [
        {"drivers": []},
        {"data_sources": [{"provider": "sqlite", "label": "A", "db_pth": "x"}]},
        {"data_sources": [{"provider": "oracle", "label": "A"}]},
        {"drives": [{"provider": "local", "label": "D"}]},
        {"notifiers": {"fax": {}}},
        {"notifiers": {"webhook": {"endpoints": [{"uri": "x"}]}}},
        {"max_parallel": "many"},
        {"pipeline": {"compression": {"method": "rar"}}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_loader_refuses(change: dict[str, Any], config: dict[str, Any]) -> None:
    validator().validate(config)
    assert not validator().is_valid(config | change)


@pytest.mark.parametrize(
    "change",
    [
        {"max_parallel": "${PARALLEL:-3}"},
        {"max_parallel": None},
        {"database": ""},
        {"database": {"provider": "postgres", "password": 12345, "tls": True}},
        {"pipeline": {"compression": {"method": "${METHOD:-zstd}"}}},
        {"hooks": {"before_backup": "true", "on_error": ["a", ["b", "c"]]}},
        {"retry": {"first_wait": "500ms", "max_wait": 5}},
    ],
    ids=str,
)
def test_the_schema_takes_what_the_loader_takes(change: dict[str, Any], config: dict[str, Any], tmp_path: Path) -> None:
    validator().validate(config | change)
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config | change))
    load(tmp_path / "config.yml")
