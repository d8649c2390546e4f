"""One suite per contract; every provider's test subclasses it."""

import pytest

pytest.register_assert_rewrite("tests.contracts.drive", "tests.contracts.source", "tests.contracts.restore")
