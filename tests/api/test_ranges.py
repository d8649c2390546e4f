"""The part of an object that a Range header means, by RFC 9110, section 14."""

import pytest
from fastapi import HTTPException

from backupman.api.ranges import Part, part_of


@pytest.mark.parametrize(
    ("header", "start", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-19", 10, 10),
        ("bytes=90-", 90, 10),
        ("bytes=0-", 0, 100),
        ("bytes=99-", 99, 1),
        ("bytes=50-1000", 50, 50),
        ("bytes=-1", 99, 1),
        ("bytes=-100", 0, 100),
        ("bytes=-1000", 0, 100),
        ("Bytes=0-9", 0, 10),
        (" bytes = 0-9 ", 0, 10),
        ("bytes=007-008", 7, 2),
        ("bytes=" + "0" * 5000 + "7-8", 7, 2),
        ("bytes=90-99999999999999999999999999", 90, 10),
        ("bytes=-99999999999999999999999999", 0, 100),
    ],
)
def test_a_range_of_bytes_is_a_part(header: str, start: int, length: int) -> None:
    part = part_of(header, 100)
    assert (part.status, part.start, part.length, part.count) == (206, start, length, length)
    assert part.headers() == {
        "Accept-Ranges": "bytes",
        "Content-Length": str(length),
        "Content-Range": f"bytes {start}-{start + length - 1}/100",
    }


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=0-1,5-6",
        "bytes=0-1, ",
        "items=0-5",
        "bytes=٣-٤",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=0x1-0x2",
    ],
)
def test_whatever_else_there_is_means_the_whole(header: str | None) -> None:
    part = part_of(header, 100)
    assert (part.status, part.start, part.length, part.count) == (200, 0, None, 100)
    assert part.headers() == {"Accept-Ranges": "bytes", "Content-Length": "100"}


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=100-", 100),
        ("bytes=100-200", 100),
        ("bytes=-0", 100),
        ("bytes=0-", 0),
        ("bytes=-5", 0),
        ("bytes=99999999999999999999999999-", 100),
        ("bytes=99999999999999999999-99999999999999999999999999", 100),
        ("bytes=" + "9" * 5000 + "-", 100),
    ],
)
def test_a_range_of_nothing_is_refused_with_the_size(header: str, size: int) -> None:
    with pytest.raises(HTTPException) as refused:
        part_of(header, size)
    assert refused.value.status_code == 416
    assert refused.value.headers == {"Content-Range": f"bytes */{size}"}


def test_of_an_unknown_size_there_are_no_parts() -> None:
    assert part_of("bytes=0-5", None) == Part(None)
    assert part_of("bytes=0-5", None).headers() == {"Accept-Ranges": "none"}
