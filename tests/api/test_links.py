"""Links that need no key: nobody but the one who has the secret makes one, and none is good for long."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from backupman.api.links import LIFETIME, Links
from backupman.errors import StoreError

PATH = "/api/backups/18da8866-dcf3-4cf8-b637-562bb6ab4a0a/download"


def words(url: str) -> tuple[str, str]:
    query = parse_qs(urlsplit(url).query)
    return query["expires"][0], query["signature"][0]


def test_a_link_is_good_for_a_quarter_of_an_hour(tmp_path: Path) -> None:
    clock = [1_000_000.5]
    links = Links(tmp_path, lambda: clock[0])
    url = links.make("https://host/base/", PATH)
    assert url.startswith(f"https://host/base{PATH}?expires={1_000_000 + 900}&signature=")
    assert LIFETIME == 900
    clock[0] += 899
    assert links.good(PATH, *words(url))
    clock[0] += 1
    assert not links.good(PATH, *words(url))


def test_a_link_is_good_after_a_restart_and_only_here(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    url = Links(tmp_path).make("http://host", PATH)
    assert Links(tmp_path).good(PATH, *words(url))
    assert not Links(tmp_path / "elsewhere").good(PATH, *words(url))


@pytest.mark.parametrize(
    ("path", "expires", "signature"),
    [
        (PATH, "", ""),
        (PATH, "{expires}", ""),
        (PATH, "{expires}", "{signature}0"),
        (PATH, "{expires}", "{flipped}"),
        (PATH, "{expires}", "ß" * 64),
        (PATH, "{expires}", "\ud800"),
        (PATH, "{expires}0", "{signature}"),
        (PATH, " {expires}", "{signature}"),
        (PATH, "0{expires}", "{signature}"),
        (PATH, "99999999999", "{signature}"),
        (PATH, "never", "{signature}"),
        (PATH.replace("18da", "18db"), "{expires}", "{signature}"),
        (PATH + "/", "{expires}", "{signature}"),
    ],
)
def test_a_changed_link_is_no_link(tmp_path: Path, path: str, expires: str, signature: str) -> None:
    links = Links(tmp_path)
    true_expires, true_signature = words(links.make("http://host", PATH))
    known = {
        "expires": true_expires,
        "signature": true_signature,
        "flipped": true_signature[:-1] + ("0" if true_signature[-1] != "0" else "1"),
    }
    assert not links.good(path, expires.format(**known), signature.format(**known))
    assert links.good(PATH, true_expires, true_signature)


def test_the_secret_is_only_for_our_own_account(tmp_path: Path) -> None:
    Links(tmp_path).make("http://host", PATH)
    file = tmp_path / "link.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes()) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["link.key"]


def test_many_at_once_make_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        urls = list(pool.map(lambda _: Links(tmp_path).make("http://host", PATH), range(32)))
    assert all(Links(tmp_path).good(PATH, *words(url)) for url in urls)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_secret_signs_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "link.key").write_bytes(content)
    with pytest.raises(StoreError, match=r"link\.key is damaged: remove it"):
        Links(tmp_path).make("http://host", PATH)
    with pytest.raises(StoreError):
        Links(tmp_path).good(PATH, "9" * 10, "0" * 64)


def test_a_secret_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "link.key").mkdir()
    with pytest.raises(StoreError, match="the secret of the download links cannot be read"):
        Links(tmp_path).make("http://host", PATH)
