"""Text on its way out: secrets are gone from it, and what is left can be read."""

import pytest

from backupman.text import first_line, space, without


@pytest.mark.parametrize(
    ("secrets", "text", "shown"),
    [
        (["secret"], "a secret, and mysecrets", "a ***, and my***s"),
        (["secret", "secret-longer"], "secret-longer secret", "*** ***"),
        (["t"], "the token t stands in t=t", "the token *** stands in ***=***"),
        (["pw"], "http://me:pw@host/pw?x=pw, powerful", "http://me:***@host/***?x=***, powerful"),
        (["a.b"], "a.b axb a.bc", "*** axb a.bc"),
        (['pass/w"ö&rd'], r'{"a": "pass\/w\"\u00f6&rd"} {"a":"pass/w\"ö&rd"}', '{"a": "***"} {"a":"***"}'),
        (['pass/w"ö&rd'], "pass/w&quot;ö&amp;rd pass%2Fw%22%C3%B6%26rd", "*** ***"),
        ([""], "nothing", "nothing"),
        ([], "nothing", "nothing"),
    ],
)
def test_secrets_are_taken_out_and_words_stay_whole(secrets: list[str], text: str, shown: str) -> None:
    assert without(secrets, text) == shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('FATAL: no "shop"\nDETAIL: it was dropped\n', 'FATAL: no "shop"'),
        ("\nread-only\n", "read-only"),
        ("", ""),
    ],
)
def test_of_an_error_in_many_lines_the_first_one_is_told(text: str, line: str) -> None:
    assert first_line(text) == line


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (900, "900 bytes"), (512 * 2**10, "512 KiB"), (2**20, "1 MiB"), (5000 * 2**20 + 1, "5000 MiB")],
)
def test_little_room_is_not_none(count: int, shown: str) -> None:
    assert space(count) == shown
