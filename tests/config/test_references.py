"""What a value refers to (`${…}`), and what blocks refer to each other by (labels and names)."""

from pathlib import Path

import pytest

from backupman.config import plans
from backupman.config._document import read
from tests.config.conftest import DRIVES, SOURCES, WHOLE, Load, Mistakes, Write

MALFORMED = "holds a ${ that begins neither ${NAME}, ${NAME:-default}, ${file:path} nor ${credential:name}; "


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("${SET}", "012345"),
        ("a-${SET}-${OTHER}-b", "a-012345-x y-b"),
        ("${SET:-default}", "012345"),
        ("${UNSET:-default}", "default"),
        ("${UNSET:-}tail", "tail"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}tail", "tail"),
        ("${UNSET:-a: b, 'c' $5 {d}", "a: b, 'c' $5 {d"),
        ("$${SET}", "${SET}"),
        ("$$${SET}", "$${SET}"),
        ("$SET $ $5 $$ {SET} }", "$SET $ $5 $$ {SET} }"),
        ("${DOLLARS}", "${SET} $${SET}"),
    ],
)
def test_the_environment_fills_in(write: Write, monkeypatch: pytest.MonkeyPatch, value: str, filled: str) -> None:
    for name, text in {"SET": "012345", "OTHER": "x y", "EMPTY": "", "DOLLARS": "${SET} $${SET}"}.items():
        monkeypatch.setenv(name, text)
    document = read(write(f'key: "{value}"\nlist: ["{value}"]\n'))
    assert document.data == {"key": filled, "list": [filled]}
    assert document.problems == []


def test_a_variable_that_is_empty_leaves_its_key_absent(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    assert read(write("a: ${EMPTY}\nb: ${UNSET:-}\nc: 1\n")).data == {"c": "1"}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("${UNSET}", "the environment variable UNSET is not set; set it, or write ${UNSET:-default}"),
        ("${", MALFORMED + "write $${ for a ${ that is meant as it stands"),
        ("${SET", MALFORMED + "write $${ for a ${ that is meant as it stands"),
        ("${}", MALFORMED + "write $${ for a ${ that is meant as it stands"),
        ("${SET:=x}", MALFORMED + "write $${ for a ${ that is meant as it stands"),
        ("${MY-NAME}", MALFORMED + "write $${ for a ${ that is meant as it stands"),
        ("${fil:/run/x}", MALFORMED + "write $${ for a ${ that is meant as it stands"),
        ("${file:}", MALFORMED + "write $${ for a ${ that is meant as it stands"),
        ("${file:/nowhere/secret}", "/nowhere/secret cannot be read: No such file or directory"),
        ("${file:/}", "/ cannot be read: Is a directory"),
        ("${credential:db}", "${credential:db} needs systemd's LoadCredential=: CREDENTIALS_DIRECTORY is unset"),
    ],
)
def test_what_cannot_be_filled_in_is_named(write: Write, value: str, sentence: str) -> None:
    document = read(write(f"a:\n  b: '{value}'\n"))
    assert document.data == {"a": {}}
    assert [document.describe(problem) for problem in document.problems] == [f"{document.path}:2: a.b: {sentence}"]


def test_a_reference_inside_another_is_refused_instead_of_half_filled_in(write: Write) -> None:
    problems = read(write("a: '${UNSET:-${OTHER:-x}}'\n")).problems
    assert [problem.sentence for problem in problems] == [MALFORMED + "write $${ for a ${ that is meant as it stands"]


def test_files_and_credentials_fill_in_without_their_last_line_break_and_mark(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my secret").write_text(" pässword ${X} \r\n", encoding="utf-8-sig")
    (tmp_path / "db").write_text("two\nlines\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    document = read(write(f"a: ${{file:{tmp_path}/my secret}}\nb: ${{credential:db}}\n"))
    assert document.data == {"a": " pässword ${X} ", "b": "two\nlines"}


def test_a_relative_file_counts_from_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "token").write_text("t0ken", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read(write("a: ${file:token}\n")).data == {"a": "t0ken"}


def test_a_file_that_is_no_text_is_named_without_its_content(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"S3cret\xff")
    problems = read(write(f"a: ${{file:{tmp_path}/secret}}\n")).problems
    assert [problem.sentence for problem in problems] == [f"{tmp_path}/secret cannot be read: it is not UTF-8 text"]


def test_an_unset_variable_is_one_mistake_and_hides_no_other(mistakes: Mistakes) -> None:
    text = "data_sources:\n  - {provider: sqlite, label: '${NOPE}', db_path: x, tiemout: 5}\n" + DRIVES
    assert mistakes(text + "database: {password: '${NOPE}', port: x}\n") == [
        "config.yml:2: data_sources[0].label: the environment variable NOPE is not set; set it, or write "
        "${NOPE:-default}",
        "config.yml:2: data_sources[0].tiemout: unknown key; did you mean 'timeout'?",
        "config.yml:5: database.password: the environment variable NOPE is not set; set it, or write ${NOPE:-default}",
        "config.yml:5: database.port: should be a whole number",
    ]


def test_a_label_used_twice_is_refused_in_every_section(mistakes: Mistakes) -> None:
    text = """
data_sources:
  - {provider: sqlite, label: shop, db_path: a}
  - {provider: sqlite, label: blog, db_path: b}
  - {provider: sqlite, label: shop, db_path: c}
drives:
  - {provider: local, label: disk, folder: a}
  - {provider: local, label: disk, folder: b}
jobs:
  - {label: all}
  - {label: all}
"""
    assert mistakes(text) == [
        "config.yml:5: data_sources[2].label: the label 'shop' is used twice; give each its own",
        "config.yml:8: drives[1].label: the label 'disk' is used twice; give each its own",
        "config.yml:11: jobs[1].label: the label 'all' is used twice; give each its own",
    ]


def test_sources_that_would_share_a_folder_are_refused(mistakes: Mistakes) -> None:
    text = "data_sources:\n  - {provider: sqlite, label: My Shop, db_path: a}\n"
    assert mistakes(text + "  - {provider: sqlite, label: my  shop, db_path: b}\n" + DRIVES) == [
        "config.yml:3: data_sources[1].label: 'my  shop' and 'My Shop' would share the folder 'my-shop' on the "
        "drives; rename one"
    ]


def test_drives_and_jobs_are_told_apart_by_their_exact_labels(loaded: Load) -> None:
    text = (
        SOURCES
        + "drives:\n  - {provider: local, label: Disk, folder: a}\n  - {provider: local, label: disk, folder: b}\n"
    )
    assert [drive.label for drive in loaded(text + "jobs: [{label: a}, {label: A}]").config.drives] == ["Disk", "disk"]


def test_a_job_that_names_what_is_not_there_is_refused(mistakes: Mistakes) -> None:
    text = """
notifiers:
  webhook: {endpoints: [{name: Ops, url: 'http://localhost/'}]}
jobs:
  - label: nightly
    data_sources: [shop, blog]
    drives: [dsik]
    notifiers: [webhook, Ops, webhook/Ops, mail, Opps]
"""
    assert mistakes(WHOLE + text) == [
        "config.yml:10: jobs[0].data_sources[1]: there is no 'blog'; there is 'shop'",
        "config.yml:11: jobs[0].drives[0]: there is no 'dsik'; did you mean 'disk'?; there is 'disk'",
        "config.yml:12: jobs[0].notifiers[3]: there is no 'mail'; there is 'webhook', 'webhook/Ops', 'Ops'",
        "config.yml:12: jobs[0].notifiers[4]: there is no 'Opps'; did you mean 'Ops'?; there is 'webhook', "
        "'webhook/Ops', 'Ops'",
    ]


def test_wrong_names_are_listed_beside_every_other_mistake(mistakes: Mistakes) -> None:
    assert mistakes(WHOLE + "htpp: {}\njobs: [{label: a, drives: [tape]}, {label: a, cron: x}]\n")[:3] == [
        "config.yml:5: htpp: unknown key; did you mean 'http'?",
        "config.yml:6: jobs[1].cron: 'x' is not a schedule (Wrong number of fields): write 5 fields (minute hour day "
        "month weekday), 6 with leading seconds, or @daily",
        "config.yml:6: jobs[1].label: the label 'a' is used twice; give each its own",
    ]


def test_a_name_is_not_blamed_while_its_own_block_is_broken(mistakes: Mistakes) -> None:
    text = "drives:\n  - {provider: local, lable: tape, folder: a}\n" + SOURCES
    assert mistakes(text + "jobs: [{label: a, drives: [tape]}]\n") == [
        "config.yml:2: drives[0].label: is required",
        "config.yml:2: drives[0].lable: unknown key; did you mean 'label'?",
    ]


def test_a_job_may_name_an_endpoint_of_a_notifier_that_is_switched_off(loaded: Load) -> None:
    text = "notifiers: {webhook: {enabled: false, endpoints: [{name: Ops, url: 'http://localhost/'}]}}\n"
    config = loaded(WHOLE + text + "jobs: [{label: a, notifiers: [Ops]}]\n").config
    assert [plan.endpoints for plan in plans(config)] == [[]]


def test_two_endpoints_of_one_name_are_refused(mistakes: Mistakes) -> None:
    block = "{endpoints: [{name: Ops, url: 'http://localhost/'}]}"
    assert mistakes(WHOLE + f"notifiers:\n  webhook:\n    - {block}\n    - {block}\n") == [
        "config.yml:5: notifiers: the endpoint 'webhook/Ops' stands there twice; give each its own name or label"
    ]


def test_the_original_schedule_beside_jobs_is_refused_with_the_way_to_write_it(mistakes: Mistakes) -> None:
    text = "http: {backup_job: {enabled: true, cron: '0 3 * * *'}}\njobs: [{label: nightly}]\n"
    assert mistakes(WHOLE + text) == [
        "config.yml:5: http.backup_job: cannot stand beside jobs: remove it and give a job its cron, for example "
        "jobs: [{label: all, cron: '0 3 * * *'}]"
    ]


def test_the_original_schedule_beside_jobs_may_be_switched_off(loaded: Load) -> None:
    text = "http: {backup_job: {enabled: false, cron: '0 3 * * *'}}\njobs: [{label: nightly, cron: '@daily'}]\n"
    (plan,) = plans(loaded(WHOLE + text).config)
    assert plan.schedule and (plan.label, plan.schedule.line) == ("nightly", "@daily")


def test_a_job_holds_what_it_names_and_everything_where_it_names_nothing(loaded: Load) -> None:
    text = """
data_sources:
  - {provider: sqlite, label: shop, db_path: a}
  - {provider: sqlite, label: blog, db_path: b}
drives:
  - {provider: local, label: disk, folder: a}
  - {provider: local, label: tape, folder: b}
notifiers:
  webhook: {endpoints: [{name: Ops, url: 'http://localhost/'}, {name: Dev, url: 'http://localhost/'}]}
pipeline: {compression: {method: zstd}}
retention: {value: 7}
hooks: {before_backup: all}
jobs:
  - {label: everything}
  - {label: blog, data_sources: [blog], drives: [tape], notifiers: [Dev], retention: {enabled: false},
     compression: {method: none}, hooks: {before_backup: own}}
  - {label: silent, notifiers: []}
"""
    everything, blog, silent = plans(loaded(text).config)
    assert [source.label for source in everything.sources] == ["shop", "blog"]
    assert [drive.label for drive in everything.drives] == ["disk", "tape"]
    assert [endpoint.name for endpoint in everything.endpoints] == ["webhook/Ops", "webhook/Dev"]
    assert (everything.pipeline.compression.method, everything.hooks.before_backup) == ("zstd", ["all"])
    assert everything.retention and everything.retention.value == 7
    assert [source.label for source in blog.sources] == ["blog"]
    assert [drive.label for drive in blog.drives] == ["tape"]
    assert [endpoint.name for endpoint in blog.endpoints] == ["webhook/Dev"]
    assert (blog.pipeline.compression.method, blog.hooks.before_backup) == ("none", ["own"])
    assert [blog.retention_on(drive) for drive in blog.drives] == [None]
    assert silent.endpoints == []
