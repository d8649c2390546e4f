"""A config as a whole: every mistake at once, every default, and no secret in anything that is shown."""

from datetime import timedelta
from pathlib import Path

import pytest

from backupman.config import load
from backupman.config.model import Config, Hooks
from tests.config.conftest import DRIVES, SOURCES, WHOLE, Load, Mistakes


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
        ("spool: {keep: 9999999d}", "spool.keep: should not be longer than a hundred years"),
        ("deadlines: {grace: 9999999d}", "deadlines.grace: should not be longer than a hundred years"),
        ("spool: {max_size: big}", "spool.max_size: 'big' is not a size: write for example 8MiB or 1GiB"),
    ],
)
def test_a_mistake_is_a_sentence_at_its_place(mistakes: Mistakes, text: str, mistake: str) -> None:
    (found,) = mistakes(WHOLE + text)
    assert found.startswith(f"config.yml:5: {mistake}")
    assert "S3cret" not in found


def test_a_value_that_fits_no_alternative_is_one_mistake(mistakes: Mistakes) -> None:
    source = "{provider: postgres, label: a, host: h, user: u, databases: %s}"
    assert mistakes(f"{DRIVES}data_sources: [{source % 'some'}]\n") == [
        "config.yml:3: data_sources[0].databases: should be 'all' or a list"
    ]
    assert mistakes(f"{DRIVES}data_sources: [{source % '[a, {b: c}]'}]\n") == [
        "config.yml:3: data_sources[0].databases[1]: should be text"
    ]


def test_a_section_that_is_missing_or_empty_is_required(mistakes: Mistakes) -> None:
    assert mistakes("nice: 9\n") == ["config.yml: data_sources: is required", "config.yml: drives: is required"]
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


def test_what_is_probably_not_meant_is_a_warning(loaded: Load) -> None:
    text = "notifiers: {webhook: {endpoints: [{name: Ops, url: 'http://example.org/'}]}}\n"
    (warning,) = loaded(WHOLE + text).warnings
    assert warning.startswith("webhook/Ops: http:// sends everything in clear")


def test_two_drives_of_a_job_that_are_one_place_are_a_warning(loaded: Load) -> None:
    drives = """
drives:
- {provider: s3, label: A, bucket: ours, access_key: a, secret_key: b}
- {provider: s3, label: B, secret_key: b, access_key: a, bucket: ours, required: false}
- {provider: s3, label: C, bucket: ours, access_key: a, secret_key: b, prefix: c}
"""
    said = "A and B are one place, which takes one copy of a backup, not two: correct one, or remove it"
    assert loaded(SOURCES + drives).warnings == [said]
    jobs = "jobs: [{label: a, drives: [A, C]}, {label: b, drives: [B, C]}]\n"
    assert loaded(SOURCES + drives + jobs).warnings == []


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
