"""The fake drive keeps the promises of the real ones."""

from uuid import uuid4

import pytest

from backupman.testing import MemoryDrive
from tests.contracts.drive import DriveContract


class TestMemory(DriveContract):
    @pytest.fixture
    def drive(self) -> MemoryDrive:
        return MemoryDrive(provider="memory", label="memory", place=uuid4().hex)

    @pytest.fixture
    def other(self) -> MemoryDrive:
        return MemoryDrive(provider="memory", label="memory two", place=uuid4().hex)
