"""One suite per contract; every provider's test subclasses it."""

import pytest

pytest.register_assert_rewrite(*(f"tests.contracts.{name}" for name in ("drive", "objects", "source", "restore")))
