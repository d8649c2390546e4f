"""The credentials of Google Drive: an account's token in a file that is only ever replaced whole, or a service account.

What is asked for: with the consent of a user `drive.file`, which reaches nothing but what this OAuth client has made. A
service account sees only what was shared with it, and would not find a shared folder with less than `drive`.
"""

import json
import logging
import os
import shlex
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backupman.errors import DriveError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPE = "https://www.googleapis.com/auth/drive.file"
SERVICE_ACCOUNT_SCOPE = "https://www.googleapis.com/auth/drive"

log = logging.getLogger(__name__)


def consent_command(client_secret_file: Path, token_file: Path) -> str:
    """The command that gets a fresh token, ready to be pasted."""
    files = ["--client-secret-file", str(client_secret_file), "--token-file", str(token_file)]
    return shlex.join(["backupman", "auth-google", *files])


def user_credentials(label: str, client_secret_file: Path, token_file: Path) -> "Credentials":
    """The token of an account that gave its consent; what Google renews goes back into the file.

    The file is that of `backupman auth-google`, or of the original Go program, which has no client in it.

    Raises:
        DriveError: a file is not there, or is none of that kind.
    """
    from google.oauth2 import credentials as library

    mend = f"run `{consent_command(client_secret_file, token_file)}`"
    client = client_of(label, client_secret_file)
    token = _read(label, token_file, "token_file", mend)
    if not isinstance(token.get("refresh_token"), str):
        raise DriveError(f"{label}: token_file {token_file} holds no refresh_token: {mend}", permanent=True)

    google: Any = library  # its types cover a part only

    class Kept(google.Credentials):  # type: ignore[misc]  # as above
        """Credentials that keep what they renew."""

        def refresh(self, request: Any) -> None:
            before = self.refresh_token
            super().refresh(request)
            try:
                save_token(token_file, self.to_json())
            except OSError as error:
                why = f"{label}: token_file {token_file} cannot be written: {error.strerror}"
                if self.refresh_token != before:
                    raise DriveError(f"{why}; the renewed token would be lost", permanent=True) from error
                log.warning("%s; the token is renewed again next time", why)

    found: Credentials = Kept(
        token=token.get("token") or token.get("access_token"),
        refresh_token=token["refresh_token"],
        token_uri=client.get("token_uri"),
        client_id=client.get("client_id"),
        client_secret=client.get("client_secret"),
        expiry=_expiry(token.get("expiry")),
    )
    return found


def service_credentials(label: str, file: Path, scope: str = SERVICE_ACCOUNT_SCOPE) -> "Credentials":
    """The service account whose key is in the file.

    Raises:
        DriveError: the file is not there, or is no such key.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2 import service_account as library

    google: Any = library  # its types cover a part only
    mend = "make a key (JSON) for the service account in Google's console, and put it there"
    info = _read(label, file, "service_account_file", mend)
    try:
        found: Credentials = google.Credentials.from_service_account_info(info, scopes=[scope])
    except (GoogleAuthError, ValueError):  # the library's words may hold the key
        raise DriveError(
            f"{label}: service_account_file {file} is no key of a service account: {mend}", permanent=True
        ) from None
    return found


def default_credentials(label: str, scope: str) -> "Credentials":
    """What Google's own tools would use: a file that the environment names, a login, or this machine's account.

    Raises:
        DriveError: there is nothing of that kind.
    """
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    auth: Any = google.auth  # its types cover a part only
    try:
        found, _ = auth.default(scopes=[scope])
    except GoogleAuthError as error:
        said = str(error).split(". ")[0].rstrip(".")
        raise DriveError(
            f"{label}: there are no credentials: set service_account_file, or give this machine a service account "
            f"({said})",
            permanent=True,
        ) from error
    credentials: Credentials = found
    return credentials


def client_of(label: str, file: Path) -> Mapping[str, Any]:
    """The OAuth client in a file of Google's console: client_id, client_secret, auth_uri, token_uri.

    Raises:
        DriveError: the file is not there, or holds no OAuth client.
    """
    mend = "make an OAuth client of the type Desktop app in Google's console, and put its JSON there"
    content = _read(label, file, "client_secret_file", mend)
    client = content.get("installed") or content.get("web")
    if not isinstance(client, dict) or not {"client_id", "client_secret", "auth_uri", "token_uri"} <= client.keys():
        raise DriveError(f"{label}: client_secret_file {file} holds no OAuth client: {mend}", permanent=True)
    return client


def save_token(file: Path, text: str) -> None:
    """Put the token there whole, for the owner alone. Raises OSError."""
    target = file.resolve()
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _read(label: str, file: Path, setting: str, mend: str) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DriveError(f"{label}: there is no {setting} {file}: {mend}", permanent=True) from None
    except OSError as error:
        raise DriveError(
            f"{label}: {setting} {file} cannot be read: {error.strerror}; let backupman's account read it",
            permanent=True,
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DriveError(f"{label}: {setting} {file} is not what Google's console gives: {mend}", permanent=True)
    return found


def _expiry(text: Any) -> datetime:
    """When an access token expires, as the library wants it: in UTC without a zone. Unknown is long ago."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        moment = datetime.fromtimestamp(0, UTC)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None)
