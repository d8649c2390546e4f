"""Moto's S3 server over HTTP on 127.0.0.1; it accepts any key, and knows tags, object lock and If-None-Match."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class S3:
    """A running server and a login for it."""

    endpoint: str
    region: str = "us-east-1"
    access_key: str = "test-access-key"
    secret_key: str = "test-secret-key"

    def client(self, **options: Any) -> "S3Client":
        """A boto3 client with path-style addresses; options override those of boto3's `client`. Close it."""
        import boto3
        from botocore.config import Config

        login = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        place = {"endpoint_url": self.endpoint, "region_name": self.region}
        config = Config(s3={"addressing_style": "path"})
        client: S3Client = boto3.client("s3", **{**login, **place, "config": config, **options})
        return client

    def make_bucket(self, **options: Any) -> str:
        """Make an empty bucket and give its fresh name; options are those of create_bucket."""
        name = f"bucket-{uuid4().hex[:12]}"
        with closing(self.client()) as client:
            client.create_bucket(Bucket=name, **options)
        return name


def _one_at_a_time(app: Any) -> Any:
    """The same, but what is put only where nothing stands is put in one go, as S3 does it: Moto looks, then writes."""
    guard = Lock()

    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        if "HTTP_IF_NONE_MATCH" not in environ:
            return app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with guard:
            return app(environ | {"wsgi.input": BytesIO(body)}, start_response)

    return guarded


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """The server, one for each test process."""
    from moto.server import ThreadedMotoServer

    # Werkzeug would log each request.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    assert server._server
    server._server.app = _one_at_a_time(server._server.app)
    host, port = server.get_host_and_port()
    yield S3(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def s3(s3_server: S3) -> Iterator[S3]:
    """The server, empty: it keeps everything in memory, gigabytes after a while."""
    yield s3_server
    httpx.post(f"{s3_server.endpoint}/moto-api/reset", trust_env=False).raise_for_status()


@pytest.fixture
def bucket(s3: S3) -> str:
    """The name of an empty bucket of this test's own."""
    return s3.make_bucket()
