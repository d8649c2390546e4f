"""The last lines of what a command printed: bounded, whole, and readable whatever was printed."""

import random

import pytest

from backupman.cli.wrapped import Tail


def tail_of(*chunks: bytes) -> str:
    tail = Tail()
    for chunk in chunks:
        tail.add(chunk)
    return tail.text()


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([], ""),
        ([b"one\n"], "one"),
        ([b"one\ntwo"], "one\ntwo"),
        ([b"on", b"e\r\ntw", b"o\n"], "one\ntwo"),
        ([b"\n\none\n\n\n"], "one"),
        (["Größe\n".encode()], "Größe"),
        (["Grö".encode()[:3], "Größe".encode()[3:]], "Größe"),
        ([b"Gr\xf6\xdfe"], "Gr\ufffd\ufffde"),
        ([b" 1 %\r 2 %\r", b"done\r\n99 %\r"], "done\n99 %"),
    ],
)
def test_what_was_printed_is_the_text(chunks: list[bytes], text: str) -> None:
    assert tail_of(*chunks) == text


def test_only_the_last_fifty_lines_are_kept() -> None:
    text = tail_of(*[f"line {number}\n".encode() for number in range(1000)])
    assert text.splitlines() == [f"line {number}" for number in range(950, 1000)]


def test_only_the_last_16_kib_are_kept_and_no_half_line_before_them() -> None:
    lines = [f"{number:04} {'x' * 995}" for number in range(100)]
    text = tail_of("\n".join(lines).encode())
    assert text.splitlines() == lines[-16:]


def test_of_one_endless_line_the_end_is_kept() -> None:
    text = tail_of(*[b"x" * 1000] * 100, b"the end")
    assert len(text) == 16 * 1024
    assert text.endswith("the end")


def test_what_is_held_is_bounded_however_it_comes() -> None:
    rng = random.Random(1)  # noqa: S311 - the same chunks each time
    whole, tail = b"", Tail()
    for _ in range(2000):
        chunk = bytes(rng.choice(b"abc\n") for _ in range(rng.randrange(1, 200)))
        tail.add(chunk)
        whole += chunk
    assert tail._size < 17 * 1024
    assert whole.decode().rstrip("\n").endswith(tail.text())
    assert len(tail.text().splitlines()) <= 50
