"""The YAML document: text stays text, every value has its line, and nothing that is wrong in it shows a secret."""

import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from backupman.config._document import Document, Location, read
from backupman.errors import ConfigError
from tests.config.conftest import Write


def described(document: Document) -> list[str]:
    """Every problem as a user reads it, without the file's folder."""
    return [document.describe(problem).removeprefix(f"{document.path.parent}/") for problem in document.problems]


@pytest.mark.parametrize(
    "scalar",
    ["012345", "yes", "no", "on", "true", "1e3", "0x1F", "0o17", "1_000", "1:30", "12.50", "2024-01-02", "=", ".inf"],
)
def test_a_plain_scalar_stays_the_text_that_was_written(write: Write, scalar: str) -> None:
    assert read(write(f"password: {scalar}\nlist: [{scalar}]\n")).data == {"password": scalar, "list": [scalar]}


@pytest.mark.parametrize("tag", ["!!int", "!!float", "!!bool", "!!timestamp", "!!str"])
def test_a_standard_tag_changes_nothing(write: Write, tag: str) -> None:
    assert read(write(f"port: {tag} abc\n")).data == {"port": "abc"}


def test_a_key_with_an_empty_value_is_absent(write: Write) -> None:
    document = read(write("a: null\nb: ~\nc: ''\nd:\ne: {f: , g: 1}\nh: 'null'\n"))
    assert document.data == {"e": {"g": "1"}, "h": "null"}
    assert document.problems == []


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - c\r\n")
    assert read(path).data == {"a": "1", "b": ["c"]}


def test_an_anchor_can_be_used_again_and_merged(write: Write) -> None:
    text = "x: &shared {host: db1, port: 1}\ny: *shared\nz:\n  <<: *shared\n  port: 2\nu:\n  port: 3\n  <<: *shared\n"
    document = read(write(text))
    assert document.data["y"] == {"host": "db1", "port": "1"}
    assert document.data["z"] == {"host": "db1", "port": "2"}
    assert document.data["u"] == {"host": "db1", "port": "3"}
    assert document.problems == []


def test_of_several_merged_mappings_the_first_wins(write: Write) -> None:
    document = read(write("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y], c: 3}\n"))
    assert document.data["z"] == {"a": "1", "b": "2", "c": "3"}


def test_what_was_written_is_there_beside_what_it_comes_to(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "x")
    monkeypatch.setenv("EMPTY", "")
    text = "a: &a {b: '${NAME}', c: '${EMPTY}', d: null}\ne: {<<: *a, f: ['${EMPTY}', '$${', ~]}\ng: ''\n"
    document = read(write(text))
    assert document.raw == {
        "a": {"b": "${NAME}", "c": "${EMPTY}"},
        "e": {"b": "${NAME}", "c": "${EMPTY}", "f": ["${EMPTY}", "$${", None]},
    }
    assert document.data == {"a": {"b": "x"}, "e": {"b": "x", "f": ["", "${", None]}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "config.yml:4: b.c: this key stands here twice"),
        ("a: 1\na:\n", "config.yml:2: a: this key stands here twice"),
        ("a: {b: 1, b: 1}\n", "config.yml:1: a.b: this key stands here twice"),
        ("a:\n  - &x\n    - *x\n", "config.yml:2: a[0][0]: this value holds itself"),
        ("a: &x\n  <<: *x\n", "config.yml:1: a: << takes a mapping, or a list of mappings"),
        ("a: {<<: 5}\n", "config.yml:1: a: << takes a mapping, or a list of mappings"),
        ("b: 1\na:\n  ? [x]\n  : y\n", "config.yml:2: a: line 3: a key must be text"),
        ("a:\n  '': y\n", "config.yml:1: a: line 2: a key must be text"),
        ("a: !S3cret\n", "config.yml:1: a: has a YAML tag; a value that begins with ! needs quotes"),
        ("a: !!set {b}\n", "config.yml:1: a: has a YAML tag; a value that begins with ! needs quotes"),
        ('a: "\\ud800"\n', "config.yml:1: a: holds a NUL character or half of a surrogate pair"),
        ('a: "x\\0"\n', "config.yml:1: a: holds a NUL character or half of a surrogate pair"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_path(write: Write, text: str, problem: str) -> None:
    assert described(read(write(text))) == [problem]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: b: c\n", ":1: not valid YAML: mapping values are not allowed here"),
        (
            "a: 1\nb: [1, 2\nc: 1\n",
            ":3: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got ':'",
        ),
        ("a: 1\n\tb: 2\n", ":2: not valid YAML: a tab stands where only spaces may: indent by spaces, as many as"),
        ("a: 'S3cret\n", ":2: not valid YAML: while scanning a quoted scalar, found unexpected end of stream"),
        ("a: @S3cret\n", ":1: not valid YAML: while scanning for the next token, found character '@'"),
        ("a: *S3cret\n", ":1: not valid YAML: found undefined alias; a value that begins with a special"),
        ("a: !S3cret!x\n", ":1: not valid YAML: while parsing a node, found undefined tag handle; a value"),
        ("a: &S3cret 1\nb: &S3cret 2\n", ":2: not valid YAML: found duplicate anchor; first occurrence"),
        ("a: 1\nb: \x07\n", ":2: not valid YAML: the character U+0007 must not stand in it"),
        ("a: 1\n---\nb: 1\n", ":2: not valid YAML: expected a single document in the stream"),
        ("", ": the config is not a mapping of sections"),
        ("just text", ": the config is not a mapping of sections"),
        ("- a\n- b\n", ": the config is not a mapping of sections"),
        ("[" * 5000, ": the config is nested too deeply"),
        ("a: " + "[" * 5000 + "]" * 5000, ": the config is nested too deeply"),
    ],
)
def test_a_file_that_is_no_config_is_one_sentence_with_its_line(write: Write, text: str, sentence: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as refused:
        read(path)
    assert refused.value.sentence.startswith(f"{path}{sentence}")
    assert "\n" not in refused.value.sentence
    assert "S3cret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "text",
    [
        "a:\tb\nc:\n  - d\n",
        "a: \t b\t# a remark\t\nc:\t\n  - d\t\n",
        "\"a\"\t:\t'b'\t\nc: [\td\t]\t\n",
        '{\n\t"a": "b",\n\t"c": [\n\t\t"d"\n\t]\n}\n',
    ],
)
def test_tabs_may_stand_wherever_they_do_not_indent(write: Write, text: str) -> None:
    assert read(write(text)).data == {"a": "b", "c": ["d"]}


@pytest.mark.parametrize("text", ["a:\n\tb: 1\n", "a:\n  b: 1\n\tc: 1\n", "\ta: 1\n", "a:\n-\tb: 1\n\tc: 1\n"])
def test_a_tab_that_indents_is_refused(write: Write, text: str) -> None:
    with pytest.raises(ConfigError, match="a tab stands where only spaces may"):
        read(write(text))


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "it is empty; `backupman config example` shows how it looks"),
        ("# nothing yet\n---\n~\n", "it is empty; `backupman config example` shows how it looks"),
        ("- a\n", "it is a list, whose dashes belong below the name of a section; `backupman config example` shows"),
        ("just text", "it is text without a colon and a space behind each name; `backupman config example` shows"),
        ("a:\n  b: 1\n    c: 2\n", "indent the line as the ones around it, put a value that holds a colon and a space"),
        ("a:\n    b: 1\n  c: 2\n", "indent the line as the ones around it, and put nothing behind a value in quotes"),
        ("a: 1\nb\nc: 1\n", "line 2 needs a colon and a space behind its key"),
        ("a: - b\n", "a list begins in the line below its key"),
        ("a: 1\n---\nb: 1\n", "a config is one: remove the line ---"),
        ("a: 1\nb: 'x\nc: 1\nd: 1\n", "a quote that opens in line 2 is not closed"),
        ('a: "C:\\data"\n', "write \\\\ for a backslash in double quotes, or use single quotes"),
        ("a: 1\nb: [1, 2\nc: 1\n", "close the bracket that opens in line 2; a value that begins with a special"),
        ("a: %x\n", "a value that begins with a special character needs quotes"),
    ],
)
def test_a_file_that_is_no_config_says_what_to_do(write: Write, text: str, advice: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(write(text))
    assert advice in refused.value.sentence
    assert refused.value.sentence.count("needs quotes") <= 1


def test_a_file_that_is_not_utf_8_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_bytes("password: S3cret\u00e9".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"the config is not UTF-8 text \(byte 16\)") as refused:
        read(path)
    assert "S3cret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("content", "where"), [("a: 1\nb: \u00e9\n".encode("latin-1"), ":2: "), ("a: 1\n".encode("utf-16"), ":1: ")]
)
def test_a_file_that_is_not_utf_8_says_in_which_line_and_what_to_do(tmp_path: Path, content: bytes, where: str) -> None:
    path = tmp_path / "config.yml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read(path)
    assert refused.value.sentence.startswith(f"{path}{where}")
    assert refused.value.sentence.endswith(": save it as UTF-8")


@pytest.mark.parametrize(("name", "reason"), [("missing.yml", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path / name)
    assert refused.value.sentence == f"{tmp_path / name}: the config cannot be read: {reason}"


def test_aliases_that_multiply_without_end_are_refused(write: Write) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="holds more than 100,000 values"):
        read(write("\n".join(lines)))


keys = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0${"), min_size=1)
documents = st.recursive(
    texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, min_size=1, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(data=st.dictionaries(keys, documents, min_size=1, max_size=5))
def test_every_value_and_its_line_are_found_again(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.yml"
    text = yaml.safe_dump(data, default_style='"', width=10_000)
    path.write_text(text, encoding="utf-8")
    document = read(path)
    assert document.data == data
    lines = text.split("\n")
    for location in places(data):
        line = document.line(location)
        assert line is not None
        assert (f'"{location[-1]}":' if isinstance(location[-1], str) else "- ") in lines[line - 1]


def places(value: Any, location: Location = ()) -> list[Location]:
    """The location of everything inside a value."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [place for key, item in items for place in [(*location, key), *places(item, (*location, key))]]


def test_a_place_that_is_not_there_has_the_line_of_what_is_around_it(write: Write) -> None:
    document = read(write("drives:\n  - label: a\n  - label: b\n    folder: c\n"))
    assert document.line(("drives", 1, "folder")) == 4
    assert document.line(("drives", 1, "bucket")) == 3
    assert document.line(("drives", 7)) == 1
    assert document.line(("nothing", 0)) is None
    assert document.line(()) is None
