"""What the doctor finds: each in a sentence that says what to do."""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from backupman.events import View

AREAS = ("config", "records", "sources", "drives", "disk", "clock", "jobs", "workers", "alarms", "keeping", "proofs")
"""What is looked at, in the order in which it is told."""


class Severity(StrEnum):
    """`problem`: a promise of the config is not kept, or will not be. `advice`: worth a thought."""

    GOOD = "good"
    ADVICE = "advice"
    PROBLEM = "problem"


class Finding(View):
    """One thing that was looked at."""

    area: str = Field(description="One of AREAS: what was looked at.")
    about: str = Field(description="The label of a source, drive or job; empty where it is about the whole.")
    severity: Severity
    sentence: str = Field(description="What was found, and what to do about it.")


def good(area: str, about: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(area=area, about=about, severity=Severity.GOOD, sentence=sentence)


def advice(area: str, about: str, sentence: str) -> Finding:
    """Worth a thought."""
    return Finding(area=area, about=about, severity=Severity.ADVICE, sentence=sentence)


def problem(area: str, about: str, sentence: str) -> Finding:
    """To be mended."""
    return Finding(area=area, about=about, severity=Severity.PROBLEM, sentence=sentence)


def worst(findings: Sequence[Finding]) -> Severity:
    """The gravest of all; `good` when there is none."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=Severity.GOOD)
