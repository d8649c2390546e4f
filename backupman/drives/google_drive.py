"""Google Drive: its settings are accepted, and every use of it says that this version cannot do it yet."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn

from pydantic import Field

from backupman.drives import Drive, Opened, Stat, Stored
from backupman.errors import DriveError


class GoogleDrive(Drive):
    """A folder of a Google account."""

    folder: str = Field(description="The folder's name in Google Drive.")
    client_secret_file: Path = Field(description="The OAuth client that was downloaded from Google's console.")
    token_file: Path = Field(description="Where the account's token stands after it gave its consent.")

    def upload(self, reader: BinaryIO, name: str, metadata: Mapping[str, str], opened: Opened | None = None) -> Stored:
        self._refuse()

    def open(self, ref: str) -> BinaryIO:
        self._refuse()

    def delete(self, ref: str) -> None:
        self._refuse()

    def stat(self, ref: str) -> Stat:
        self._refuse()

    def list(self, prefix: str = "") -> Iterator[str]:
        self._refuse()

    def find(self, name: str) -> str | None:
        self._refuse()

    def check(self) -> None:
        self._refuse()

    def abort(self, name: str, session: str | None) -> None:
        """Nothing was ever begun."""

    def _refuse(self) -> NoReturn:
        raise DriveError(
            f"{self.label}: Google Drive is not in this version yet: use a local or an s3 drive, or take this drive "
            "out of the job meanwhile",
            permanent=True,
        )
