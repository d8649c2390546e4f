"""What the user expects of a restored database, and what is as expected."""

import pytest
from pydantic import ValidationError

from backupman.drills import Assertion, holds
from backupman.sources.postgres import Postgres


@pytest.mark.parametrize(
    ("expect", "found", "good"),
    [
        ("> 100", "101", True),
        ("> 100", "100", False),
        (">= 100", "100.0", True),
        ("<1e3", "999.99999999999999999", True),
        ("<= 9007199254740992", "9007199254740993", False),
        ("= 5", "5.00", True),
        ("!= 5", "5.00", False),
        ("between 1 and 5", "5", True),
        ("BETWEEN 1 AND 5", "5.1", False),
        ("between '2026-01-01' and '2026-12-31'", "2026-05-05", True),
        ("between 2026-01-01 and 2026-12-31", "2026-05-05 10:00:00", True),
        ("> 2026-01-01", "2025-12-31T23:59:59Z", False),
        ("= 2026-01-01T10:00:00Z", "2026-01-01 12:00:00+02", True),
        ("= open", "open", True),
        ("= 'open'", "Open", False),
        ("!= open", "closed", True),
        ("= '007'", "7", False),
        ("= ''", "", True),
        ("> a", "b", True),
        ("= true", "t", True),
        ("= true", "1", True),
        ("= false", "true", False),
        ("= null", None, True),
        ("!= null", "x", True),
        ("= 5", None, False),
        ("= 5", "five", False),
        ("!= 5", None, True),
    ],
)
def test_values_are_compared_as_what_they_are(expect: str, found: str | None, good: bool) -> None:
    assert holds(expect, found) is good


@pytest.mark.parametrize(("expect", "found"), [("> 5", "five"), ("> 5", None), ("< 2026-01-01", "7"), ("> a", None)])
def test_what_cannot_be_compared_is_said(expect: str, found: str | None) -> None:
    with pytest.raises(ValueError, match="cannot be compared with"):
        holds(expect, found)


@pytest.mark.parametrize(
    ("expect", "why"),
    [
        ("100", "write an operator"),
        ("", "write an operator"),
        (">", "write an operator"),
        ("=> 5", "write an operator"),
        ("between 1", "write an operator"),
        ("== 5", "write an operator"),
        ("between 5 and 1", "write the smaller value first"),
        ("between 5 and z", "different kinds"),
        ("> null", "only equal or not"),
    ],
)
def test_an_expectation_that_is_none_is_refused_with_the_config(expect: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Assertion(sql="SELECT 1", expect=expect)


def test_a_drill_is_told_nothing_of_the_source_s_server() -> None:
    source = Postgres.model_validate(
        {
            "provider": "postgres",
            "label": "shop",
            "host": "db.example.com",
            "port": 6543,
            "user": "dumper",
            "password": "s3cret-word",
            "tls_ca": "/etc/ca.pem",
            "databases": ["shop"],
            "format": "custom",
            "freshness": "SELECT max(at) FROM orders",
        }
    )
    told = source.for_drill()
    assert told == {"provider": "postgres", "label": "shop", "databases": ["shop"], "format": "custom"}
    Postgres.model_validate(told)
