"""The lines of a service's log: one line a record whatever it holds, for people, for programs and for the journal."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from backupman.logs import LONGEST_MESSAGE, LONGEST_TRACE, Format, Level, about, hide_secrets, log_for_service

log = logging.getLogger("backupman.somewhere")
ID = "1a2b3c4d-0000-4000-8000-000000000000"


class Written:
    """What was written to standard error, read as often as is liked."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capture.readouterr().err
        return self._text


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """What is logged; the log is put back as it was afterwards."""
    loggers = [logging.getLogger(name) for name in (None, "backupman", "uvicorn", "apscheduler")]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    monkeypatch.setattr("threading.excepthook", sys.excepthook)
    monkeypatch.setattr("backupman.logs._redactions", [])
    yield Written(capsys)
    logging.captureWarnings(False)
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_a_line_for_people(lines: Written) -> None:
    log_for_service(Format.HUMAN, Level.INFO)
    with about(job="nightly", source="Shop"), about(backup_id=ID):
        log.warning("Shop: %s", "slow")
    log.info("ready")
    log.debug("not said")
    first, second = lines.getvalue().splitlines()
    time, rest = first.split(" ", 1)
    assert datetime.fromisoformat(time).tzinfo
    assert rest == "WARNING [nightly, Shop, 1a2b3c4d] Shop: slow"
    assert second.split(" ", 1)[1] == "INFO ready"


def test_a_line_for_programs(lines: Written) -> None:
    log_for_service(Format.JSON, Level.DEBUG)
    with about(job="nightly", source="Käse", backup_id=ID):
        log.debug("dumped")
    log.error("bad", extra={"job": "weekly"})
    first, second = (json.loads(line) for line in lines.getvalue().splitlines())
    assert datetime.fromisoformat(first.pop("time")).tzinfo
    assert first == {
        "level": "debug",
        "logger": "backupman.somewhere",
        "message": "dumped",
        "job": "nightly",
        "source": "Käse",
        "backup_id": ID,
    }
    assert lines.getvalue().isascii()
    assert (second["job"], second["level"], "backup_id" in second) == ("weekly", "error", False)


@pytest.mark.parametrize("form", Format)
def test_what_is_foreign_begins_no_line_and_has_an_end(form: Format, lines: Written) -> None:
    log_for_service(form, Level.INFO)
    with about(source="So\nurce\x1b[31m"):
        log.info("%s", "first\n2026-01-01T00:00:00+00:00 INFO forged\r\u2028\x85\x00\x1b[2J\ud800" + "x" * 10_000)
    (line,) = lines.getvalue().splitlines()
    assert len(line) < LONGEST_MESSAGE + 300
    assert line.isprintable()


@pytest.mark.parametrize("form", Format)
def test_a_trace_stays_in_its_line(form: Format, lines: Written) -> None:
    log_for_service(form, Level.INFO)
    try:
        raise ValueError("deep\n<0>forged " + "x" * 2 * LONGEST_TRACE + " the end")
    except ValueError:
        log.exception("unexpected")
    first, *rest = lines.getvalue().splitlines()
    assert "unexpected" in first
    assert lines.getvalue().rstrip('"}\n').endswith("the end")
    assert len(lines.getvalue()) < LONGEST_TRACE + 500
    assert all(line.startswith("  ") for line in rest)
    assert not (rest and form == Format.JSON)


@pytest.mark.parametrize("form", Format)
def test_no_secret_is_shown(form: Format, lines: Written) -> None:
    log_for_service(form, Level.INFO)
    hide_secrets(lambda text: text.replace('pa"ss', "***"))
    hide_secrets(lambda text: text.replace("other", "***"))
    try:
        raise RuntimeError('pa"ss')
    except RuntimeError:
        log.exception("it was %s or %s", 'pa"ss', "other")
    assert "it was *** or ***" in lines.getvalue()
    assert 'pa"ss' not in lines.getvalue()
    assert 'pa\\"ss' not in lines.getvalue()
    assert '"other"' not in lines.getvalue()


def test_libraries_lost_threads_and_warnings_speak_alike(lines: Written) -> None:
    log_for_service(Format.JSON, Level.INFO)
    logging.getLogger("uvicorn.error").info("hidden")
    logging.getLogger("apscheduler.scheduler").warning("shown")
    logging.getLogger("httpx").info("a request with all its headers")
    logging.getLogger("py.warnings").warning("old")
    assert [json.loads(line)["message"] for line in lines.getvalue().splitlines()] == ["shown", "old"]


@pytest.mark.parametrize("form", Format)
def test_the_journal_gets_priorities_and_knows_the_time_itself(
    form: Format, lines: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    status = os.fstat(write)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    with os.fdopen(write, "w", encoding="utf-8") as stream, os.fdopen(read, encoding="utf-8") as journal:
        monkeypatch.setattr(sys, "stderr", stream)
        log_for_service(form, Level.DEBUG)
        log.info("ready")
        log.debug("detail")
        try:
            raise ValueError("<0>forged")
        except ValueError:
            log.exception("unexpected")
        stream.close()
        written = journal.read().splitlines()
    assert [line[:3] for line in written[:2]] == ["<6>", "<7>"]
    assert {line[:3] for line in written[2:]} == {"<3>"}
    if form == Format.HUMAN:
        assert written[:2] == ["<6>ready", "<7>detail"]
    else:
        assert [json.loads(line[3:])["level"] for line in written] == ["info", "debug", "error"]


def test_another_stream_than_the_journal_gets_times(lines: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")  # inherited, but standard error goes elsewhere now
    log_for_service(Format.HUMAN, Level.INFO)
    log.info("ready")
    assert lines.getvalue().endswith(" INFO ready\n")
    assert not lines.getvalue().startswith("<")
