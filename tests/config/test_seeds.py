"""The notifier blocks of other programs' documents load as they stand; a section that goes elsewhere says so."""

import textwrap
from pathlib import Path

import pytest
import yaml

from backupman.config import plans
from tests.config.conftest import WHOLE, Load, Mistakes

FIXTURE = (Path(__file__).parent / "fixtures" / "seeds.yml").read_text(encoding="utf-8")
BLOCKS = FIXTURE.split("---\n")[1:]
NAMES = [next(iter(yaml.safe_load(block))) for block in BLOCKS]


@pytest.mark.parametrize(("name", "block"), list(zip(NAMES, BLOCKS, strict=True)))
def test_every_block_loads_under_notifiers(loaded: Load, name: str, block: str) -> None:
    (plan,) = plans(loaded(f"{WHOLE}notifiers:\n{textwrap.indent(block, '  ')}").config)
    assert plan.endpoints
    assert {endpoint.name.split("/")[0] for endpoint in plan.endpoints} == {name}


def test_a_block_at_the_top_is_told_where_it_goes(mistakes: Mistakes) -> None:
    assert mistakes(f"{WHOLE}webhook: {{endpoints: []}}\n") == [
        "config.yml:5: webhook: this block goes under notifiers, for example notifiers: {webhook: …}"
    ]


def test_the_section_of_prime_backup_is_told_where_it_goes(mistakes: Mistakes) -> None:
    section = '"notification": {"enabled": true, "endpoints": [{"name": "webhook", "type": "webhook"}]}'
    (mistake,) = mistakes(f"{WHOLE}{section}\n")
    for place in ("config.yml:5: notification: ", "notifiers.webhook.endpoints", "notifiers.bark", "events"):
        assert place in mistake
