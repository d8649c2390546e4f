"""`schedule`: the next runs of every job, in its zone, over the changes of the clocks."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from backupman.store import Store
from tests.cli.conftest import Inside

JOBS = [
    {"label": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "jitter": "10m"},
    {"label": "often", "cron": "30 */12 * * * *", "timezone": "Asia/Kathmandu"},
    {"label": "by hand"},
]


@pytest.fixture
def jobs(config: dict[str, Any], tmp_path: Path) -> Any:
    """Writes the config with these jobs."""

    def write(*jobs: dict[str, Any]) -> None:
        (tmp_path / "config.yml").write_text(yaml.safe_dump(config | {"jobs": list(jobs), "instance": "host1"}))

    return write


def test_the_next_runs_of_every_job_in_its_zone(jobs: Any, inside: Inside) -> None:
    jobs(*JOBS)
    ended = inside("schedule", "--from", "2026-03-28T12:00Z", "--count", "2")
    assert ended.code == 0
    assert [re.split(r"\s{2,}", line.rstrip()) for line in ended.out.splitlines()] == [
        ["JOB", "NEXT RUNS", "SCHEDULE"],
        ["nightly", "Sun 2026-03-29 03:00:00 CEST", "30 2 * * * (Europe/Berlin), up to 10m later"],
        ["", "Mon 2026-03-30 02:30:00 CEST"],
        ["often", "Sat 2026-03-28 17:48:30 +0545", "30 */12 * * * * (Asia/Kathmandu)"],
        ["", "Sat 2026-03-28 18:00:30 +0545"],
        ["by hand", "by hand, or from outside"],
    ]


def test_as_json_with_offsets(jobs: Any, inside: Inside) -> None:
    jobs(*JOBS)
    ended = inside("schedule", "--from", "2026-10-24T12:00Z", "--count", "2", "--json")
    assert ended.json["Results"][0] == {
        "Label": "nightly",
        "Schedule": "30 2 * * * (Europe/Berlin)",
        "JitterSeconds": 600.0,
        "NextRuns": ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
    }
    assert ended.json["Results"][2] == {"Label": "by hand", "Schedule": None, "JitterSeconds": None, "NextRuns": []}


def test_from_now_by_default(jobs: Any, inside: Inside) -> None:
    jobs({"label": "hourly", "cron": "@hourly", "timezone": "UTC"})
    before = datetime.now(UTC)
    (job,) = inside("schedule", "--json").json["Results"]
    runs = [datetime.fromisoformat(run) for run in job["NextRuns"]]
    assert len(runs) == 5
    assert before < runs[0] <= before + timedelta(hours=1, minutes=1)


def test_an_interval_counts_from_when_the_daemon_first_saw_it(jobs: Any, inside: Inside, tmp_path: Path) -> None:
    jobs({"label": "often", "every": "6h", "timezone": "UTC"})
    (job,) = inside("schedule", "--from", "2026-03-01T10:00Z", "--count", "1", "--json").json["Results"]
    assert (job["Schedule"], job["NextRuns"]) == ("every 6h", ["2026-03-01T16:00:00+00:00"])
    store = Store.open(f"sqlite:///{tmp_path}/state/backupman.db")
    store.jobs.seen_jobs("host1", {"often": "every 6h"}, datetime(2026, 2, 1, 1, tzinfo=UTC))
    store.close()
    (job,) = inside("schedule", "--from", "2026-03-01T10:00Z", "--count", "1", "--json").json["Results"]
    assert job["NextRuns"] == ["2026-03-01T13:00:00+00:00"]


def test_without_jobs_there_is_the_original_s_one(config: dict[str, Any], tmp_path: Path, inside: Inside) -> None:
    config["http"] = {"backup_job": {"enabled": True, "cron": "0 3 * * *"}}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    (job,) = inside("schedule", "--json").json["Results"]
    assert (job["Label"], len(job["NextRuns"])) == ("default", 5)


def test_a_cron_line_needs_no_records(jobs: Any, inside: Inside, tmp_path: Path) -> None:
    jobs(JOBS[0])
    (tmp_path / "state").write_text("no folder")
    assert inside("schedule").code == 0


@pytest.mark.parametrize(
    ("words", "told"), [(("--from", "tomorrow"), "--from: 'tomorrow' is neither"), (("--count", "0"), "--count")]
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], told: str, jobs: Any, inside: Inside) -> None:
    jobs(JOBS[0])
    ended = inside("schedule", *words)
    assert ended.code == 2
    assert told in ended.err
