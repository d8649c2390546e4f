"""A config as a whole: every mistake at once, every default, and no secret in anything that is shown."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from backupman.config import load
from backupman.config.model import Config, Hooks, default_state_folder
from tests.config.conftest import DRIVES, SOURCES, WHOLE, Load, Mistakes

SECRET = "S3cret p'w\"$%ß"


def test_the_smallest_config_has_every_default(loaded: Load, own_environment: Path) -> None:
    config = loaded(WHOLE).config
    assert [source.label for source in config.data_sources] == ["shop"]
    assert [drive.label for drive in config.drives] == ["disk"]
    assert config.notifiers == {}
    assert config.state_folder == own_environment / "state/backupman"
    assert config.database.address(config.state_folder) == f"sqlite:///{own_environment}/state/backupman/backupman.db"
    assert config.pipeline.suffix == ".gz"
    assert config.retention is None
    assert (config.jobs, config.http.backup_job.enabled, config.http.api_keys) == ([], False, [])
    assert config.instance
    assert config.deliveries.give_up_after == timedelta(days=3)


def test_every_mistake_is_listed_at_once_in_the_order_of_the_file(mistakes: Mistakes) -> None:
    text = """\
instnce: x
data_sources:
  - provider: sqlite
    lable: shop
    db_path: "${NOPE}"
  - provider: sqllite
    label: blog
  - label: wiki
  - 5
drives: {}
database: {port: 70000, tls: perhaps, prot: 1}
retention: {enabled: perhaps, value: many}
retention: {}
notifiers:
  webhok: {}
  webhook: {endpoints: [{name: Ops, urll: x}, {tiemout: 1}]}
pipeline: {compression: {method: gzipp}, encryption: {recipient: x}}
jobs:
  - {cron: "61 * * * *", every: soon, jitter: 5 parsecs, drives: []}
  - nightly
hooks: {befor_backup: x, timeout: 0}
http: {api_keys: [""], port: http}
"""
    places = [line.split(": ")[0] + ": " + line.split(": ", 2)[1] for line in mistakes(text)]
    assert places == [
        "config.yml:1: instnce",
        "config.yml:3: data_sources[0].label",
        "config.yml:4: data_sources[0].lable",
        "config.yml:5: data_sources[0].db_path",
        "config.yml:6: data_sources[1].provider",
        "config.yml:8: data_sources[2]",
        "config.yml:9: data_sources[3]",
        "config.yml:10: drives",
        "config.yml:11: database.port",
        "config.yml:11: database.tls",
        "config.yml:11: database.prot",
        "config.yml:13: retention",
        "config.yml:15: notifiers.webhok",
        "config.yml:16: notifiers.webhook.endpoints[0].urll",
        "config.yml:16: notifiers.webhook.endpoints[1].tiemout",
        "config.yml:17: pipeline.compression.method",
        "config.yml:17: pipeline.encryption.recipient",
        "config.yml:19: jobs[0].label",
        "config.yml:19: jobs[0].cron",
        "config.yml:19: jobs[0].every",
        "config.yml:19: jobs[0].jitter",
        "config.yml:19: jobs[0].drives",
        "config.yml:20: jobs[1]",
        "config.yml:21: hooks.timeout",
        "config.yml:21: hooks.befor_backup",
        "config.yml:22: http.port",
        "config.yml:22: http.api_keys[0]",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("http: {prot: 1}", "http.prot: unknown key; did you mean 'port'?"),
        ("http: {backup_job: {crn: x}}", "http.backup_job.crn: unknown key; did you mean 'cron'?"),
        ("http: {backup_job: {enabled: true}}", "http.backup_job: is enabled and needs a cron"),
        ("pipeline: {compression: {levl: 1}}", "pipeline.compression.levl: unknown key; did you mean 'level'?"),
        ("http: {zzz: 1}", "http.zzz: unknown key"),
        ("database: {provider: oracle}", "database.provider: should be 'sqlite', 'postgres', 'mysql' or 'memory'"),
        ("database: {url: S3cret}", "database.url: should be sqlite:///file, postgresql://user:password@host/name or"),
        ("database: {url: 'oracle://u:S3cret@h/d'}", "database.url: should be sqlite:///file, postgresql://user"),
        ("database: {url: 'mysql://u:S3cret@h:x/d'}", "database.url: should be sqlite:///file, postgresql://user"),
        ("database: {provider: postgres, tls: skip-verify}", "database: tls should be true or false: skip-verify is"),
        ("database: [1]", "database: should be a mapping of keys and values"),
        ("retention: {value: 0}", "retention: value should be at least 1 day; to keep everything, write enabled: fa"),
        ("retention: {by: size}", "retention.by: should be 'age'"),
        ("max_parallel: 0", "max_parallel: should be greater than or equal to 1"),
        ("max_parallel: two", "max_parallel: should be a whole number"),
        ("hooks: {on_error: ['{error}']}", "hooks.on_error[0]: a command does not begin with a placeholder; a pro"),
        ("hooks: {on_error: [['{error}', x]]}", "hooks.on_error[0]: a command does not begin with a placeholder"),
        ("hooks: {on_error: [[]]}", "hooks.on_error[0]: a command is text for the shell, or a list of words for one"),
        ("hooks: {on_error: [[a, [b]]]}", "hooks.on_error[0]: a command is text for the shell, or a list of words"),
        ("hooks: {on_error: {a: b}}", "hooks.on_error: should be a list"),
        ("on_error: [{a: b}]", "on_error[0]: a command is text for the shell, or a list of words for one program"),
        ("jobs: {}", "jobs: should be a list"),
        ("jobs: [{label: a, cron: '@daily', every: 1h}]", "jobs[0]: a job has either cron or every, not both"),
        ("jobs: [{label: a, drives: disk}]", "jobs[0].drives: should be a list"),
        ("notifiers: [webhook]", "notifiers: should be a mapping of keys and values"),
        ("notifiers: {webhook: 5}", "notifiers.webhook: should be a mapping of keys and values"),
        ("spool: {keep: 3 moons}", "spool.keep: '3 moons' is not a duration: write for example 500ms, 5s, 30m, 1h or"),
        ("spool: {keep: [3]}", "spool.keep: should be a duration such as 30s or 1h"),
        ("spool: {keep: 9999999999d}", "spool.keep: '9999999999d' is too long a duration"),
        ("spool: {max_size: big}", "spool.max_size: 'big' is not a size: write for example 8MiB or 1GiB"),
    ],
)
def test_a_mistake_is_a_sentence_at_its_place(mistakes: Mistakes, text: str, mistake: str) -> None:
    (found,) = mistakes(WHOLE + text)
    assert found.startswith(f"config.yml:5: {mistake}")
    assert "S3cret" not in found


def test_a_section_that_is_missing_or_empty_is_required(mistakes: Mistakes) -> None:
    assert mistakes("instance: x\n") == ["config.yml: data_sources: is required", "config.yml: drives: is required"]
    assert mistakes("data_sources:\ndrives: []\n") == [
        "config.yml:1: data_sources: is required",
        "config.yml:2: drives: should not be empty",
    ]


def test_null_sections_and_empty_values_are_as_good_as_absent(loaded: Load) -> None:
    sections = ["database", "notifiers", "pipeline", "retention", "jobs", "hooks", "on_error", "http", "spool", "retry"]
    empty = "".join(f"{name}: {value}\n" for name, value in zip(sections, ["", "null", "~", "''"] * 3, strict=False))
    assert loaded(WHOLE + empty).config == loaded(WHOLE).config
    assert loaded(WHOLE + "notifiers: {mail: , webhook: null}\n").config == loaded(WHOLE).config


def test_a_disabled_block_needs_no_other_key(loaded: Load) -> None:
    config = loaded(WHOLE + "notifiers: {mail: {enabled: false}, webhook: {enabled: no}}\n").config
    assert [notifier.endpoints() for notifier in config.all_notifiers()] == [[], []]
    assert loaded(WHOLE + "retention: {enabled: false, value: 0}\n").config.retention is not None


def test_text_becomes_what_a_field_asks_for(loaded: Load) -> None:
    text = "http: {port: '8081', api_keys: [012345, yes]}\nretention: {enabled: yes, value: 7}\nspool: {keep: 90}\n"
    config = loaded(WHOLE + text).config
    assert config.http.port == 8081
    assert [key.key.get_secret_value() if key.key else None for key in config.http.api_keys] == ["012345", "yes"]
    assert config.retention and config.retention.enabled and config.retention.value == 7
    assert config.spool.keep == timedelta(seconds=90)


def test_one_hook_may_stand_without_a_list(loaded: Load) -> None:
    config = loaded(WHOLE + "on_error: 'notify {error}'\nhooks: {before_backup: [[sync, '{label}'], 'true']}\n").config
    assert config.on_error == ["notify {error}"]
    assert config.hooks == Hooks(before_backup=[["sync", "{label}"], "true"])


def test_a_config_cannot_be_changed(loaded: Load) -> None:
    config = loaded(WHOLE).config
    with pytest.raises(ValueError, match="frozen"):
        config.max_parallel = 9  # type: ignore[misc]  # that it cannot be done is the point


SECRETIVE = yaml.safe_dump(
    {
        "database": {"provider": "postgres", "user": "me", "password": SECRET},
        "http": {"api_keys": [SECRET], "port": 8081},
        "notifiers": {
            "webhook": {"endpoints": [{"name": "Ops", "url": "https://example.org/S3cret", "token": "S3cret-token"}]}
        },
        "spool": {"keep": "2d", "max_size": "1GiB"},
    }
)


def test_no_secret_shows_in_what_is_printed(loaded: Load) -> None:
    config = loaded(WHOLE + SECRETIVE).config
    shown = [repr(config), str(config), config.model_dump_json(), json.dumps(config.masked()), repr(config.database)]
    assert [text for text in shown if "S3cret" in text] == []
    assert config.database.password and config.database.password.get_secret_value() == SECRET


def test_no_secret_shows_in_a_mistake(mistakes: Mistakes) -> None:
    blocks = yaml.safe_load(SECRETIVE)
    blocks["database"] |= {"passwort": SECRET, "port": SECRET, "tls": SECRET}
    blocks["http"] = {"api_key": [SECRET], "api_keys": [{"a": SECRET}], "port": SECRET}
    blocks["notifiers"]["webhook"]["endpoints"][0] |= {"tokn": SECRET, "extended": SECRET, "timeout": [SECRET]}
    assert "S3cret" not in "\n".join(mistakes(WHOLE + yaml.safe_dump(blocks, allow_unicode=True)))


def test_the_masked_config_is_yaml_that_loads_again(loaded: Load) -> None:
    text = "jobs: [{label: a, every: 90m, jitter: 1500ms, hooks: {on_error: [[a, b], c d]}}]\n"
    config = loaded(WHOLE + SECRETIVE + text).config
    masked = yaml.safe_dump(config.masked(), sort_keys=False)
    assert yaml.safe_load(masked) == config.masked()
    assert config.masked()["database"] == {"provider": "postgres", "user": "me", "password": "**********"}
    assert config.masked()["spool"] == {"keep": "2d", "max_size": 2**30}
    assert config.masked()["jobs"][0]["every"] == "90m"
    assert config.masked()["notifiers"]["webhook"][0]["endpoints"][0]["name"] == "Ops"
    masked = masked.replace("url: '**********'", "url: https://example.org/")
    again = loaded(masked).config
    assert again.jobs == config.jobs
    assert again.masked() == config.masked()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_STATE_HOME": "/x", "STATE_DIRECTORY": "/s", "HOME": "/h"}, "/x/backupman"),
        ({"XDG_STATE_HOME": "relative", "STATE_DIRECTORY": "/s:/t", "HOME": "/h"}, "/s"),
        ({"HOME": "/h"}, "/var/lib/backupman"),
        ({}, "/var/lib/backupman"),
    ],
)
def test_the_state_folder_of_root_and_services(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("XDG_STATE_HOME", "STATE_DIRECTORY", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_state_folder() == Path(folder)


def test_the_state_folder_of_an_ordinary_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_state_folder() == Path("/home/me/.local/state/backupman")


@pytest.mark.parametrize(
    ("database", "address"),
    [
        ("{db_path: my records.db}", "sqlite:///my records.db"),
        ("{db_path: '/var/a?b#c%d.db'}", "sqlite:////var/a%3Fb%23c%25d.db"),
        ("{provider: memory}", "sqlite://"),
        ("{provider: mysql, user: me}", "mysql+pymysql://me@127.0.0.1:3306/backupman?tls=false"),
        (
            "{provider: mysql, host: '::1', port: 3307, db_name: a/b, user: 'm@', password: 'p:@/ ?%ß', tls: off}",
            "mysql+pymysql://m%40:p%3A%40%2F %3F%25%C3%9F@[::1]:3307/a/b?tls=false",
        ),
        ("{provider: postgres, tls: on}", "postgresql+psycopg://127.0.0.1:5432/backupman?sslmode=require"),
        (
            "{url: 'postgres://me:p%40ss@db/x?sslmode=verify-full'}",
            "postgresql+psycopg://me:p%40ss@db/x?sslmode=verify-full",
        ),
        ("{url: 'mariadb://me@db/x'}", "mysql+pymysql://me@db/x"),
        ("{url: 'sqlite:////var/x.db'}", "sqlite:////var/x.db"),
    ],
)
def test_the_database_section_becomes_an_address(loaded: Load, database: str, address: str) -> None:
    assert loaded(WHOLE + f"database: {database}\n").config.database.address(Path("/state")) == address


def test_what_is_probably_not_meant_is_a_warning(loaded: Load) -> None:
    text = "notifiers: {webhook: {endpoints: [{name: Ops, url: 'http://example.org/'}]}}\n"
    (warning,) = loaded(WHOLE + text).warnings
    assert warning.startswith("webhook/Ops: http:// sends the token")


def test_loading_opens_nothing_that_the_config_names(loaded: Load) -> None:
    text = "database: {provider: postgres, host: 192.0.2.1}\nspool: {folder: /nowhere/x}\nstate_folder: /nowhere/y\n"
    assert isinstance(loaded(WHOLE + text).config, Config)


@pytest.mark.parametrize("first", [SOURCES, DRIVES])
def test_sections_stand_in_any_order(loaded: Load, first: str) -> None:
    second = DRIVES if first == SOURCES else SOURCES
    assert loaded(first + second).config == loaded(WHOLE).config


def test_the_loaded_config_knows_its_file(loaded: Load, tmp_path: Path) -> None:
    assert loaded(WHOLE).path == tmp_path / "config.yml"
    assert load(tmp_path / "config.yml").config.source("shop") is not None
    assert load(tmp_path / "config.yml").config.drive("nope") is None
