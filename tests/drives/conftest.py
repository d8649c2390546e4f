"""A proxy in front of moto's S3 server."""

from collections.abc import Iterator

import pytest

from tests.drives._proxy import Proxy, proxy, verifying
from tests.servers.s3 import S3


@pytest.fixture
def in_front(s3: S3) -> Iterator[Proxy]:
    """It verifies checksums, as Amazon's servers do and moto does not, until the test sets another rule."""
    with proxy(s3.endpoint) as running:
        running.rule = verifying
        yield running
