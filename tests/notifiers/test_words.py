"""The words of every event, and how much of them fits."""

from dataclasses import replace

import pytest

from backupman.notifiers._words import newest, sentence, text, text_with_log, title, with_log
from backupman.text import cut
from tests.contracts.messages import EVENTS, ODD_TEXTS, message

TITLES = {
    "backup_start": "Backup of Mysql 1 started",
    "backup_report": "Backup of Mysql 1 finished",
    "backup_success": "Backup of Mysql 1 finished",
    "backup_failure": "Backup of Mysql 1 failed",
    "backup_late": "Backup of Mysql 1 is late",
    "backup_missed": "Backup of Mysql 1 was missed",
    "backup_stuck": "Backup of Mysql 1 got stuck",
    "backup_recovered": "Backup of Mysql 1 is in order again",
    "size_anomaly": "Backup of Mysql 1 has an odd size",
    "notification": "Error: Mysql 1: disk_space_low",
    "queue_unattended": "No worker takes from the queue Mysql 1",
    "queue_recovered": "The queue Mysql 1 is in order again",
    "records_failure": "The records of Mysql 1 cannot be used",
    "records_recovered": "The records of Mysql 1 can be used again",
}


@pytest.mark.parametrize("kind", TITLES)
def test_an_event_has_a_title_and_a_sentence(kind: str) -> None:
    assert title(message(kind)) == TITLES[kind]
    assert sentence(message(kind))


@pytest.mark.parametrize("odd", ODD_TEXTS)
@pytest.mark.parametrize("kind", EVENTS)
def test_a_title_is_one_line_of_any_text(kind: str, odd: str) -> None:
    line = title(message(kind, ODD_TEXTS[odd]))
    assert "\n" not in line and len(line) <= 200
    line.encode()


def test_an_event_that_is_new_is_told_by_its_kind() -> None:
    new = replace(message(), event="tape_full", payload={"Label": "tape 3", "Reason": "No room is left."})
    assert (title(new), sentence(new)) == ("tape 3: tape full", "No room is left.")


def test_the_text_says_what_went_wrong() -> None:
    told = text(message("backup_failure"), 1000)
    assert told == (
        "Mysql 1 is not backed up: no drive holds this dump.\n\n"
        "My Google Drive: quota exceeded\n\n"
        "- the table t uses MyISAM"
    )


@pytest.mark.parametrize("longest", [0, 2, 3, 4, 5, 6, 50, 60, 100, 10_000])
def test_texts_are_cut_by_bytes_and_stay_utf_8(longest: int) -> None:
    failed = message("backup_failure", Error="Ж€😀" * 1000)
    for told in (text(failed, longest), cut("Ж€😀" * 1000, longest), text_with_log(failed, longest)):
        assert len(told.encode()) <= longest


@pytest.mark.parametrize("longest", [0, 3, 4, 5, 6, 7, 8, 9, 100])
def test_of_a_log_the_newest_is_kept(longest: int) -> None:
    kept = newest([f"line {number} Ж" for number in range(100)], longest)
    assert len(kept.encode()) <= longest
    assert longest < 10 or (kept.startswith("...\n") and kept.endswith("line 98 Ж\nline 99 Ж"))


@pytest.mark.parametrize("longest", [0, 80, 150, 200, 10_000])
def test_a_log_has_a_limit_of_its_own_within_that_of_the_whole(longest: int) -> None:
    failed = replace(message("backup_failure"), log=[f"line {number} Ж" for number in range(100)])
    alone = text(failed, longest)
    told = with_log(alone, failed.log, longest, 40)
    assert told.startswith(alone) and len(told.encode()) <= longest
    log = told.removeprefix(alone).strip()
    assert len(log.encode()) <= 40
    assert longest < 200 or log.endswith("line 99 Ж")


def test_a_log_that_fits_is_whole() -> None:
    assert newest(["a", "b\x1b[31m", "ß"], 100) == "a\nb\ufffd[31m\nß"
    told = text_with_log(replace(message("backup_success"), log=["begun", "done"]), 1000)
    assert told.startswith("Mysql 1 is stored on My Google Drive.") and told.endswith("\n\nbegun\ndone")


def test_a_title_says_all_copies_are_right_only_where_none_is_known_to_be_bad() -> None:
    assert title(message("verify_success", StillBad=0)) == "The copies of Mysql 1 are right"
    told = title(message("verify_success", StillBad=2))
    assert told == "The copies of Mysql 1 that were looked at are right, others are still bad"


def test_a_title_calls_no_copy_bad_that_could_not_be_looked_at() -> None:
    assert title(message("verify_failure", Bad=0, Unchecked=2)) == "Copies of Mysql 1 could not be looked at"
    assert title(message("verify_failure", Bad=1, Unchecked=2)) == "A copy of Mysql 1 is not right"
