"""Jobs of other machines in the config: sender, device and job together are one."""

import pytest

from tests.config.conftest import Load, Mistakes

REST = """
data_sources: [{provider: sqlite, label: a, db_path: a}]
drives: [{provider: local, label: d, folder: d}]
"""


def test_jobs_that_differ_in_one_name_are_different(loaded: Load) -> None:
    found = loaded(
        REST
        + """
ingest:
  jobs:
    - {device: web-1, job: rsync, max_age: 26h}
    - {device: web-2, job: rsync, max_age: 26h}
    - {device: web-1, job: tar, max_age: 26h}
    - {device: web-1, job: rsync, sender: cron, max_age: 26h}
"""
    )
    assert len(found.config.ingest.jobs) == 4


@pytest.mark.parametrize("sender", ["", ", sender: unknown@ingest"])
def test_a_job_that_stands_there_twice_is_refused(sender: str, mistakes: Mistakes) -> None:
    jobs = f"[{{device: web-1, job: rsync, max_age: 26h}}, {{device: web-1, job: rsync, max_age: 8d{sender}}}]"
    assert mistakes(REST + f"ingest: {{jobs: {jobs}}}") == [
        "config.yml:4: ingest.jobs: 'rsync' of 'unknown@ingest' on 'web-1' stands there twice; give it one max_age"
    ]


def test_a_name_that_no_script_can_send_is_refused(mistakes: Mistakes) -> None:
    long = "x" * 256
    job = f"{{device: {long}, job: '', sender: '', max_age: 0}}"
    assert mistakes(REST + f"ingest: {{jobs: [{job}]}}") == [
        "config.yml:4: ingest.jobs[0].device: should have at most 255 characters",
        "config.yml:4: ingest.jobs[0].job: is required",
        "config.yml:4: ingest.jobs[0].max_age: should be longer than 0s",
    ]
