"""The SDK's client as a drive's settings want it: the way in, trust, and none of its own retries."""

import logging
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backupman.drives._azure_errors import Door
from backupman.errors import DriveError

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

    from backupman.drives.azure_blob import AzureBlob

_CONNECT_SECONDS = 10.0


def connect(drive: "AzureBlob", door: Door) -> "ContainerClient":
    """A client for the drive; the SDK is imported here, by its first use only. Raises DriveError."""
    try:
        import urllib3
        from azure.storage.blob import ContainerClient, ExponentialRetry
    except ImportError as error:
        raise DriveError(
            f"{drive.label}: Azure needs packages that are not installed: pip install 'backupman[azure]'",
            permanent=True,
        ) from error
    if drive.ca_file and not (os.access(drive.ca_file, os.R_OK) and drive.ca_file.is_file()):
        raise DriveError(f"{drive.label}: there is no ca_file {drive.ca_file} that may be read", permanent=True)
    logging.getLogger("azure").setLevel(logging.ERROR)  # below, it logs whole requests; what fails, it raises
    if not drive.verify_tls:  # `config check` has said so, once is enough
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    seconds = drive.timeout.total_seconds()
    options: dict[str, Any] = {
        "retry_policy": ExponentialRetry(retry_total=0),
        "connection_timeout": min(_CONNECT_SECONDS, seconds),
        "read_timeout": seconds,
        "connection_verify": str(drive.ca_file) if drive.ca_file else drive.verify_tls,
    }
    with door.explained():
        if not drive.connection_string:
            return ContainerClient(_account_url(drive), drive.container, _credential(drive), **options)
        try:
            text = drive.connection_string.get_secret_value()
            return ContainerClient.from_connection_string(text, drive.container, **options)
        except ValueError:  # whose words may hold the secret
            sentence = f"{drive.label}: connection_string cannot be read: copy it anew from the portal"
            raise DriveError(sentence, permanent=True) from None


def _account_url(drive: "AzureBlob") -> str:
    return (drive.endpoint or f"https://{drive.account}.blob.core.windows.net").rstrip("/")


def _credential(drive: "AzureBlob") -> Any:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    if drive.account_key:
        account = drive.account or (urlsplit(_account_url(drive)).hostname or "").partition(".")[0]
        return AzureNamedKeyCredential(account, drive.account_key.get_secret_value())
    if drive.sas_token:
        return AzureSasCredential(drive.sas_token.get_secret_value().lstrip("?"))
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=drive.client_id)
