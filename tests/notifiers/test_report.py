"""What people read: subject, text and HTML, the packaged templates and a user's own."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from backupman.errors import NotifyError
from backupman.notifiers import Message
from backupman.notifiers._report import Report, render
from backupman.text import listed, moment, one_line, printable, size, span
from tests.contracts.notifier import EVENTS, ODD_TEXTS, message
from tests.pages import ROOT
from tests.pages import Page as Doc

_VOID = {"meta", "br"}


def report(event: Message, folder: Path | None = None) -> Report:
    return render(event, folder, "mail/ops@example.org")


def changed(event: Message, **payload: Any) -> Message:
    return replace(event, payload={**event.payload, **payload})


class Page(HTMLParser):
    """The visible text of a page, its tags and its attributes; ValueError where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        if self._open:
            raise ValueError(f"left open: {self._open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open.pop() != tag:
            raise ValueError(f"</{tag}> closes another tag")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("odd", ["", *ODD_TEXTS])
def test_the_page_is_whole_and_needs_nothing_from_elsewhere(kind: str, odd: str) -> None:
    page = Page(report(message(kind, ODD_TEXTS.get(odd, ""))).html)
    assert page.tags <= {
        *("html", "head", "meta", "title", "body", "div", "span", "h1", "h2", "p", "br", "strong"),
        *("table", "tr", "td", "ul", "li"),
    }
    assert {name for name, _ in page.attributes} <= {
        *("charset", "cellpadding", "cellspacing", "content", "lang", "name", "role", "style")
    }
    assert not [value for _, value in page.attributes if "url(" in value or "//" in value]


@pytest.mark.parametrize("kind", ["backup_report", "backup_failure"])
def test_everything_that_is_known_is_told(kind: str) -> None:
    event = changed(message(kind), SourceProvider="mariadb", Tags={"env": "production"})
    done = report(event)
    failed = kind == "backup_failure"
    for text in (done.text, Page(done.html).text):
        for fact in (
            *("Mysql 1", "nightly", "mariadb", "shop", "db1", "2025-07-02 10:00:00 UTC", "2025-07-02 10:05:00 UTC"),
            *("1.4 GiB", "42.9 MiB", "5 min", "31 s", "before the upgrade", "env=production", event.payload["Sha256"]),
            *("My Google Drive", "google_drive", "backups/backup-20250702100000.sql.gz", "12 s", event.payload["Id"]),
            *("the table t uses MyISAM", event.id),
        ):
            assert fact in text, fact
        assert ("quota exceeded" in text) is failed
        assert (f"backupman retry {event.payload['Id']}" in text) is failed
        assert "None" not in text
    assert done.subject == f"[backupman] {'FAILED' if failed else 'finished'}: Mysql 1 (db1)"


def test_what_is_unknown_is_left_out() -> None:
    """A payload with nothing but the documented fields, as an older version may have frozen it."""
    full = message().payload
    event = replace(message(), payload={key: full[key] for key in ("Id", "Status", "Label", "CreatedAt")})
    done = report(event)
    assert done.subject == "[backupman] finished: Mysql 1"
    for text in (done.text, Page(done.html).text):
        assert not [word for word in ("Size", "Duration", "Host", "Ended", "Drives", "DRIVES", "None") if word in text]


def test_a_long_name_does_not_run_into_its_value() -> None:
    told = report(message("queue_unattended", UnattendedSince="2026-03-02T09:00:00Z")).text
    assert "\nUnattended since: 2026-03-02 09:00:00 UTC\n" in told
    assert "\nQueue:        " in told


def test_another_kind_of_event_says_what_it_holds() -> None:
    payload = {"Job": "nightly", "DeviceName": "NAS <1>", "Severity": "warning", "Attempts": 3, "Other": {"a": "b"}}
    done = report(replace(message(), event="backup_late", payload=payload))
    assert done.subject == "[backupman] backup late: nightly"
    for text in (done.text, Page(done.html).text):
        for fact in ("backup late", "Device name", "NAS <1>", "Severity", "warning", "Attempts", "3"):
            assert fact.lower() in text.lower(), fact
        assert not [word for word in ("None", "is not backed up", "stored on") if word in text]


@pytest.mark.parametrize("kind", EVENTS)
def test_no_event_shows_a_value_for_machines(kind: str) -> None:
    found = report(message(kind))
    for text in (found.text, Page(found.html).text):
        assert not re.search(r"None|\d{4}-\d\d-\d\dT|93600|45000000|backup_late", text), text


@pytest.mark.parametrize(
    ("kind", "colour"),
    [
        ("backup_late", "#cf222e"),
        ("verify_failure", "#cf222e"),
        ("alarm_drill_failure", "#cf222e"),
        ("queue_unattended", "#cf222e"),
        ("backup_recovered", "#1a7f37"),
        ("queue_recovered", "#1a7f37"),
        ("records_failure", "#cf222e"),
        ("records_recovered", "#1a7f37"),
        ("alarm_drill", "#57606a"),
        ("prune_report", "#57606a"),
    ],
)
def test_the_colour_says_how_bad_it_is(kind: str, colour: str) -> None:
    assert f"border-top:6px solid {colour}" in report(message(kind)).html


def test_a_drill_says_so_in_its_subject() -> None:
    assert report(message("alarm_drill")).subject == "[backupman] DRILL, no alarm: Mysql 1"


def test_copies_are_listed_and_what_is_wrong_stands_first() -> None:
    good = {"Drive": "Disk", "Path": "a.gz", "Size": 1536, "CreatedAt": "2025-07-02T10:00:00Z", "Good": True}
    bad = good | {"Drive": "Offsite", "Good": False, "Error": "Offsite: a.gz is gone"}
    found = report(message("verify_failure", Copies=[good | {"Error": None}] * 60 + [bad]))
    lines = found.text[found.text.index("COPIES") :].splitlines()
    assert lines[1:5] == ["- Offsite: BAD", "  a.gz", "  1.5 KiB, 2025-07-02 10:00:00 UTC", "  a.gz is gone"]
    assert found.text.count("- Disk: good") == 49
    kept = {"Drive": "Disk", "Path": "b.gz", "Action": "delete", "Reason": "older than 30 days", "Error": "Disk: no"}
    pruned = report(message("prune_report", Copies=[kept], Failed=1))
    assert "- Disk: NOT DELETED" in pruned.text
    assert "border-top:6px solid #cf222e" in pruned.html


@pytest.mark.parametrize(
    ("status", "drives", "sentence"),
    [
        ("pending", {"A": "pending"}, "The backup of Mysql 1 is under way."),
        ("finished", {"A": "finished"}, "Mysql 1 is stored on A."),
        ("finished", {"A": "finished", "B": "finished", "C": "finished"}, "Mysql 1 is stored on A, B and C."),
        ("finished", {"A": "finished", "B": "failed"}, "Mysql 1 is stored on A, but not on B."),
        ("failed", {"A": "failed", "B": "failed"}, "Mysql 1 is not backed up: no drive holds this dump."),
        ("failed", {}, "Mysql 1 is not backed up: no drive holds this dump."),
    ],
)
def test_the_first_sentence_says_where_the_dump_is(status: str, drives: dict[str, str], sentence: str) -> None:
    [file] = message().payload["DriveFiles"]
    files = [{**file, "Label": label, "Status": state} for label, state in drives.items()]
    done = report(changed(message(), Status=status, DriveFiles=files))
    assert sentence in done.text
    assert sentence in Page(done.html).text


def test_errors_are_told_in_full_up_to_a_size_that_servers_take() -> None:
    full = "line\n" * 8_000
    assert full.strip() in report(changed(message("backup_failure"), Error=full)).text
    cut = report(changed(message("backup_failure"), Error=full * 100 + "the end"))
    assert "3950007 characters are left out here" in cut.text and "the end" in cut.text
    assert len(cut.html) < 100_000


class TestTemplates:
    """A user's own, which come before the packaged ones, file by file."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "templates"
        folder.mkdir()
        return folder

    def broken(self, folder: Path) -> str:
        with pytest.raises(NotifyError, match=r"^mail/ops@example\.org: ") as refused:
            report(message(), folder)
        assert refused.value.permanent
        return refused.value.sentence

    def test_one_file_replaces_one_part(self, folder: Path) -> None:
        (folder / "backup_report.subject.j2").write_text("Backup <{{ backup.Label }}>: {{ backup.Size | size }}\n\n")
        done = report(message(), folder)
        assert done.subject == "Backup <Mysql 1>: 1.4 GiB"
        assert done.text == report(message()).text

    def test_an_event_can_have_its_own(self, folder: Path) -> None:
        (folder / "backup_start.txt.j2").write_text("{{ event }} of {{ backup.Label }}")
        assert report(message("backup_start"), folder).text == "backup_start of Mysql 1"
        assert report(message(), folder).text == report(message()).text

    def test_a_block_of_the_packaged_one_can_be_replaced(self, folder: Path) -> None:
        (folder / "backup_report.html.j2").write_text(
            '{% extends "packaged/backup_report.html.j2" %}{% block foot %}<p>{{ backup.Label }} & co</p>{% endblock %}'
        )
        done = report(message(text="<b>"), folder)
        assert "<p>Mysql 1&lt;b&gt; & co</p>" in done.html
        assert "Offsite" not in done.html and "google_drive" in done.html
        Page(done.html)

    def test_the_one_of_the_documentation(self, folder: Path) -> None:
        (sample,) = Doc(ROOT / "docs/notifiers/mail.md").blocks("jinja")
        (folder / "backup_report.html.j2").write_text(sample.text)
        assert "Call the night shift." in report(message(), folder).html

    def test_a_mistake_in_the_language_is_named(self, folder: Path) -> None:
        (folder / "backup_report.txt.j2").write_text("one\ntwo {% if %}\n")
        assert f"{folder}/backup_report.txt.j2:2: " in self.broken(folder)

    def test_an_unknown_name_is_named(self, folder: Path) -> None:
        (folder / "backup_report.html.j2").write_text("one\n\n{{ backup.Labell }}\n")
        sentence = self.broken(folder)
        assert f"{folder}/backup_report.html.j2:3: " in sentence and "Labell" in sentence

    @pytest.mark.parametrize(
        "code", ["{{ 1 / 0 }}", "{{ backup.Size + 'x' }}", "{{ ''.__class__.mro() }}", "{{ 1 | x }}"]
    )
    def test_whatever_a_template_does_ends_in_a_sentence(self, folder: Path, code: str) -> None:
        (folder / "backup_report.subject.j2").write_text(f"one\n{code}")
        assert f"{folder}/backup_report.subject.j2:2: " in self.broken(folder)

    def test_a_missing_folder_is_named(self, folder: Path) -> None:
        assert f"there is no folder {folder}/missing" in self.broken(folder / "missing")


def test_sizes() -> None:
    counts = [None, 0, 1023, 1024, 1536, 150 * 2**20, 2**30, 3 * 2**40, 5000 * 2**40]
    assert [size(count) for count in counts] == [
        *("", "0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "150 MiB", "1.0 GiB", "3.0 TiB", "5000.0 TiB")
    ]


def test_spans() -> None:
    seconds = [None, 0, 0.44, 9.94, 59.4, 60, 252, 3600, 3661, 90_000]
    assert [span(number) for number in seconds] == [
        *("", "0.0 s", "0.4 s", "9.9 s", "59 s", "1 min", "4 min 12 s", "1 h", "1 h 1 min", "25 h")
    ]


def test_moments_are_utc() -> None:
    assert moment("2025-07-02T12:00:00+02:00") == "2025-07-02 10:00:00 UTC"
    assert moment(None) == ""


def test_lists() -> None:
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_lines() -> None:
    assert one_line(" a\r\n\tb\0 ", 10) == "a b\ufffd"
    assert one_line("x" * 11, 10) == "x" * 9 + "…"
    assert one_line("\u202eabc\u2066", 10) == "abc"
    assert printable({"a\udcff": ["b\r\nc\rd\x1b", 1, None, float("inf")]}) == {"a?": ["b\nc\nd\ufffd", 1, None, None]}


def test_a_restore_is_told_with_its_own_id_and_its_backups() -> None:
    text = render(message("restore_failure"), None, "mail").text
    assert "Restore:      5d0c3b1e-7a53-4d2b-8a53-0b1f8f3f5b99" in text
    assert "Backup id:    b4c3f1a0-1b1e-4b0e-8b4a-0e1b0e1b0e1b" in text
    assert "the server has gone away" in text
    assert "Target:       shop_restored_202507021000 on Mysql 1" in text
