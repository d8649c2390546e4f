"""A worker's own config: what it takes from it, what it fills in on its own host, and what it refuses."""

import json
import os
import socket
from pathlib import Path

import pytest

from backupman.config import Config, load
from backupman.config._document import parse
from backupman.config.loading import is_workers_own
from backupman.config.worker import load_any, load_worker, plans_of, refused, with_excerpt
from backupman.errors import ConfigError
from tests.config.conftest import DRIVES, WHOLE, Load, Write
from tests.config.fleet import CONTROL, POSTGRES, WORKER, excerpt_of, worker_at

HOST = socket.gethostname()
SHOP = "{provider: postgres, label: Shop, host: db7, db_name: shop, user: b, password: '${PGPASS:-}'}"
RUN = "{provider: command, label: Redis, argv: [redis-cli, --rdb, '-'], suffix: .rdb}"


def sources(*blocks: str) -> str:
    return f"data_sources: [{', '.join(blocks)}]\n{DRIVES}"


def test_a_worker_takes_what_a_host_says_of_itself(tmp_path: Path) -> None:
    own = (
        "state_folder: /srv/w\nspool: {keep: 5d}\nnice: 19\nmax_parallel: 4\nshutdown_grace: 2m\nlog: {level: debug}\n"
    )
    config = worker_at(tmp_path, own + "worker: {queues: [db7, eu-west.1], take_any: no, hooks: yes}\n").config
    assert (config.instance, config.state_folder, config.max_parallel, config.nice) == ("shop", Path("/srv/w"), 4, 19)
    assert (config.worker.queues, config.worker.take_any, config.worker.hooks) == (["db7", "eu-west.1"], False, True)
    assert config.worker.allow is None
    assert worker_at(tmp_path).config.worker.take_any


def test_no_secret_of_a_workers_file_shows(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("S3cret\n", encoding="utf-8")
    config = worker_at(tmp_path, f"state_folder: '/srv/${{file:{tmp_path}/name}}'\n").config
    assert config.state_folder == Path("/srv/S3cret")
    assert (config.masked()["state_folder"], config.redact("in S3cret")) == ("/srv/***", "in ***")


def test_the_control_hosts_whole_file_does_and_its_other_secrets_need_not_be_there(write: Write) -> None:
    text = f"""{CONTROL}
data_sources: [{{provider: postgres, label: a, host: h, user: u, db_name: d, password: "${{NOT_HERE}}"}}]
drives: 5
notifiers: {{webhok: {{}}}}
worker: {{queues: [db7]}}
"""
    assert load_worker(write(text)).config.worker.queues == ["db7"]


def test_what_stands_in_the_workers_file_counts_and_not_what_is_handed_over(loaded: Load, tmp_path: Path) -> None:
    worker = worker_at(tmp_path, "spool: {keep: 5d}\nmax_parallel: 7\n")
    excerpt = excerpt_of(loaded, WHOLE, "shop")
    excerpt["config"] |= {"spool": {"keep": "1d"}, "state_folder": "/evil", "worker": {"hooks": "true"}, "nice": "19"}
    config = with_excerpt(worker, excerpt)
    assert (config.spool, config.max_parallel, config.nice) == (worker.config.spool, 7, None)
    assert (config.state_folder, config.worker) == (worker.config.state_folder, worker.config.worker)
    assert config.database.on_postgres


def test_secrets_are_those_of_the_workers_host_and_do_not_show(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASS", "S3cret-of-control")
    text = sources(SHOP) + f"on_error: 'page ${{file:{tmp_path}/pager}}'\n"
    (tmp_path / "pager").write_text("S3cret-of-control-pager\n", encoding="utf-8")
    excerpt = excerpt_of(loaded, text, "Shop")
    (tmp_path / "pager").write_text("S3cret-pager\n", encoding="utf-8")
    monkeypatch.setenv("PGPASS", "S3cret-of-worker")
    config = with_excerpt(worker_at(tmp_path), json.loads(json.dumps(excerpt)))
    assert set(config.data_sources[0].secrets()) == {"S3cret-of-worker"}
    assert config.on_error == ["page S3cret-pager"]
    shown = [repr(config), json.dumps(config.masked()), config.redact("S3cret-of-worker S3cret-pager")]
    assert "S3cret" not in "".join(shown).replace("on_error=['page S3cret-pager']", "")


def test_what_cannot_be_filled_in_on_the_workers_host_is_named_with_its_place_in_one_sentence(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASS", "S3cret")
    monkeypatch.setenv("KEYS", "/etc/keys")
    text = f"""
data_sources: [{SHOP}, {{provider: postgres, label: B, host: h, db_name: d, user: u, password: "${{PGPASS}}"}}]
drives: [{{provider: sftp, label: Cloud, host: h, user: u, folder: x, key_file: "${{KEYS}}/id"}}]
hooks: {{after_backup: [[ping, "${{KEYS}}"]]}}
"""
    excerpt = excerpt_of(loaded, text, "B")
    monkeypatch.delenv("PGPASS")
    with pytest.raises(ConfigError) as one:
        with_excerpt(worker_at(tmp_path), excerpt)
    assert one.value.sentence == (
        f"{HOST}: data_sources[B].password: the environment variable PGPASS is not set; set it, or write "
        "${PGPASS:-default}"
    )
    monkeypatch.delenv("KEYS")
    with pytest.raises(ConfigError) as several:
        with_excerpt(worker_at(tmp_path), excerpt)
    places = ["data_sources[B].password", "drives[Cloud].key_file", "hooks.after_backup[0][1]"]
    assert all(f"{place}: the environment variable " in several.value.sentence for place in places)
    assert "\n" not in several.value.sentence


def test_a_setting_that_a_worker_of_an_older_version_does_not_know_is_named(loaded: Load, tmp_path: Path) -> None:
    excerpt = excerpt_of(loaded, WHOLE, "shop")
    excerpt["config"]["data_sources"][0]["db_paths"] = ["x"]
    with pytest.raises(ConfigError) as refusal:
        with_excerpt(worker_at(tmp_path), excerpt)
    assert refusal.value.sentence == f"{HOST}: data_sources[shop].db_paths: unknown key; did you mean 'db_path'?"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (POSTGRES, "worker.yml: instance: is required"),
        (
            "instance: shop\n",
            "worker.yml: database: a worker needs the control host's PostgreSQL: write its database section here too",
        ),
        (WORKER + "wroker: {}\n", "worker.yml:3: wroker: unknown key; did you mean 'worker'?"),
        (WORKER + "worker: {queue: [a]}\n", "worker.yml:3: worker.queue: unknown key; did you mean 'queues'?"),
        (WORKER + "worker: {queues: [any]}\n", "worker.yml:3: worker.queues[0]: should be another name: any is the"),
        (WORKER + "worker: {allow: []}\n", "worker.yml:3: worker.allow: should not be empty"),
        (WORKER + "worker: {allow: [{}]}\n", "worker.yml:3: worker.allow[0]: should not be empty"),
        (WORKER + "nice: '${NOT_HERE}'\n", "worker.yml:3: nice: the environment variable NOT_HERE is not set; set"),
        (WORKER + "nice: 20\nnice: 20\n", "worker.yml:4: nice: this key stands here twice"),
        ("- x\n", "worker.yml: the config is not a mapping of sections such as"),
    ],
)
def test_a_mistake_in_a_workers_file_is_a_sentence_at_its_place(tmp_path: Path, text: str, mistake: str) -> None:
    path = tmp_path / "worker.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_worker(path)
    assert refusal.value.sentence.startswith(f"{tmp_path}/{mistake}")
    assert "\n" not in refusal.value.sentence


def test_every_mistake_of_a_workers_file_is_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "worker.yml"
    path.write_text("wroker: {}\nnice: '${NOT_HERE}'\nmax_parallel: many\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_worker(path)
    for start, line in zip(
        (": instance: ", ": database: ", ":1: wroker: ", ":2: nice: ", ":3: max_parallel: "),
        refusal.value.sentence.splitlines(),
        strict=True,
    ):
        assert line.startswith(f"{path}{start}")


def test_a_database_whose_reference_leads_nowhere_is_not_called_the_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "worker.yml"
    path.write_text("instance: shop\ndatabase: {url: '${NOT_HERE}'}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_worker(path)
    assert refusal.value.sentence.startswith(f"{path}:2: database.url: the environment variable NOT_HERE is not set")
    assert "\n" not in refusal.value.sentence


@pytest.mark.parametrize(
    ("text", "own"),
    [
        (WORKER, True),
        ("worker:\n  queue: [a]\n", True),
        ("instance: shop\ndata_sources:\ndrives: ''\n", True),
        (POSTGRES, False),
        ("jobs: []\n", False),
        (f"{WORKER}data_sources: []\n", False),
        (f"{WORKER}drives: []\nworker: {{}}\n", False),
        (CONTROL + WHOLE, False),
    ],
)
def test_a_workers_own_file_is_recognised_by_what_stands_there(write: Write, text: str, own: bool) -> None:
    assert is_workers_own(parse(write(text))) is own


@pytest.mark.parametrize("text", [CONTROL + WHOLE, WORKER])
def test_a_config_from_a_pipe_is_read_once(text: str) -> None:
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "w") as pipe:
            pipe.write(text)
        assert load_any(Path(f"/dev/fd/{reading}")).config.instance == "shop"
    finally:
        os.close(reading)


def test_what_needs_a_whole_config_says_of_a_workers_own_where_to_ask(write: Write) -> None:
    path = write(WORKER)
    with pytest.raises(ConfigError) as refusal:
        load(path)
    assert refusal.value.sentence.startswith(f"{path}: data_sources and drives are required; a worker's own config, ")
    assert refusal.value.sentence.endswith("ask everything else on the control host")


def test_what_is_not_read_and_what_takes_nothing_is_worth_a_warning(write: Write, tmp_path: Path) -> None:
    assert worker_at(tmp_path).warnings == []
    [unread, idle] = worker_at(tmp_path, "jobs: []\nhttp: {}\nworker: {take_any: no}\n").warnings
    assert unread == "a worker does not read jobs, http: only the control host's config counts for that"
    assert idle.startswith("worker: it takes from no queue")
    assert load_worker(write(CONTROL + WHOLE)).warnings == [], "a control host's whole file is meant to hold more"


def test_a_worker_may_be_told_of_by_the_endpoints_of_the_control_host(loaded: Load, tmp_path: Path) -> None:
    notifiers = "notifiers: {webhook: {endpoints: [{name: Ops, url: 'https://h/x', events: [backup_start]}]}}\n"
    excerpt = excerpt_of(loaded, WHOLE + notifiers, "shop")
    config = with_excerpt(worker_at(tmp_path), excerpt)
    [plan] = plans_of(config, excerpt)
    assert config.notifiers == {}
    assert [(told.name, list(told.events)) for told in plan.endpoints] == [("webhook/Ops", ["backup_start"])]


@pytest.mark.parametrize(
    ("allow", "taken"),
    [
        ("", {"Shop", "Notes"}),
        ("allow: [{label: '*'}]", {"Shop", "Notes", "Redis"}),
        ("allow: [{provider: command, label: 'Red?s'}]", {"Redis"}),
        ("allow: [{provider: postgres}, {label: Notes}]", {"Shop", "Notes"}),
        ("allow: [{provider: postgres, label: Notes}]", set()),
        ("allow: [{host: 'db[0-9]'}]", {"Shop"}),
        ("allow: [{port: 5432, db_name: shop}]", {"Shop"}),
        ("allow: [{db_path: /srv/*}]", {"Notes"}),
        ("allow: [{db_path: /srv}]", set()),
        ("allow: [{tables: 'public.*'}]", {"Shop"}),
        ("allow: [{exclude_tables: '*'}]", set()),
        ("allow: [{label: shop}]", set()),
        ("allow: [{password: '*'}]", set()),
        ("allow: [{socket: '*'}]", set()),
        ("allow: [{role_passwords: true}]", {"Shop"}),
        ("allow: [{manifest: '*'}]", set()),
        ("allow: [{assertions: '*'}]", set()),
        ("allow: [{nonsense: '*'}]", set()),
    ],
)
def test_a_source_is_taken_when_every_key_of_one_rule_fits(
    loaded: Load, tmp_path: Path, allow: str, taken: set[str]
) -> None:
    shop = SHOP.replace("label", "tables: [public.a, public.b], assertions: [{sql: SELECT 1, expect: '= 1'}], label")
    text = sources(shop, "{provider: sqlite, label: Notes, db_path: /srv/n/notes.db}", RUN)
    refusals = {label: _refused(loaded, tmp_path, text, label, allow) for label in ("Shop", "Notes", "Redis")}
    assert {label for label, reason in refusals.items() if reason is None} == taken
    assert all(reason is None or (label in reason and HOST in reason) for label, reason in refusals.items())


def _refused(loaded: Load, folder: Path, text: str, label: str, section: str) -> str | None:
    worker = worker_at(folder, f"worker: {{{section}}}\n")
    config: Config = with_excerpt(worker, excerpt_of(loaded, text, label))
    return refused(worker.config, config)


def test_a_list_fits_where_all_of_it_does(loaded: Load, tmp_path: Path) -> None:
    text = sources(SHOP.replace("label", "tables: [public.a, secret.b], label"))
    reason = _refused(loaded, tmp_path, text, "Shop", "allow: [{tables: public.*}]")
    assert reason == f"{HOST} does not take Shop: no rule of worker.allow in its config fits"


@pytest.mark.parametrize(
    ("commands", "place"),
    [
        ("on_error: page\n", "on_error"),
        ("hooks: {before_backup: sync}\n", "hooks.before_backup"),
        ("hooks: {on_error: [[page, x]]}\n", "hooks.on_error"),
        ("jobs: [{label: a, hooks: {after_backup: ping}}]\n", "hooks.after_backup"),
    ],
)
def test_commands_of_another_host_are_run_where_that_is_allowed(
    loaded: Load, tmp_path: Path, commands: str, place: str
) -> None:
    reason = _refused(loaded, tmp_path, WHOLE + commands, "shop", "")
    assert reason and reason.startswith(f"{HOST} runs no commands of another host, and there is {place}: allow them")
    assert _refused(loaded, tmp_path, WHOLE + commands, "shop", "hooks: true") is None


def test_only_commands_that_would_run_are_refused(loaded: Load, tmp_path: Path) -> None:
    assert _refused(loaded, tmp_path, WHOLE + "hooks: {timeout: 1m}\n", "shop", "") is None
    instead = "hooks: {after_backup: ping}\njobs: [{label: a, hooks: {timeout: 1m}}]\n"
    assert _refused(loaded, tmp_path, WHOLE + instead, "shop", "") is None
