"""The SDK's client as a drive's settings want it: addresses, credentials, trust, and none of its own retries."""

import logging
import os
from typing import TYPE_CHECKING, Literal

from pydantic import SecretStr

from backupman.drives._s3_errors import Door
from backupman.drives._s3_signing import sign_by_checksum
from backupman.errors import DriveError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from backupman.drives.s3 import S3

_CONNECT_SECONDS = 10.0


def connect(drive: "S3", door: Door) -> "S3Client":
    """A client for the drive; the SDK is imported here, by its first use only. Raises DriveError."""
    try:
        import boto3
        import urllib3
        from botocore.config import Config
    except ImportError as error:
        raise DriveError(
            f"{drive.label}: S3 needs a package that is not installed: pip install 'backupman[s3]'", permanent=True
        ) from error
    if drive.ca_file and not (os.access(drive.ca_file, os.R_OK) and drive.ca_file.is_file()):
        raise DriveError(f"{drive.label}: there is no ca_file {drive.ca_file} that may be read", permanent=True)
    # At DEBUG the SDK logs whole requests, with session tokens in them.
    logging.getLogger("botocore").setLevel(logging.INFO)
    if not drive.verify_tls:  # `config check` has said so, once is enough
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    styles: dict[bool | None, Literal["path", "virtual", "auto"]] = {
        True: "path",
        False: "virtual",
        None: "path" if drive.endpoint else "auto",
    }
    plain = (drive.endpoint or "").startswith("http:")
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(_CONNECT_SECONDS, drive.timeout.total_seconds()),
        read_timeout=drive.timeout.total_seconds(),
        max_pool_connections=drive.concurrency + 1,
        signature_version="s3v4",
        # Our requests carry their checksums. TLS protects the rest; without it the payload is signed.
        s3={
            "addressing_style": styles[drive.force_path_style],
            "payload_signing_enabled": plain,
        },
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with door.explained():
        session = boto3.session.Session(
            aws_access_key_id=_revealed(drive.access_key),
            aws_secret_access_key=_revealed(drive.secret_key),
            aws_session_token=_revealed(drive.session_token),
            region_name=drive.region,
        )
        client = session.client(
            "s3",
            region_name=drive.region or session.region_name or "us-east-1",
            endpoint_url=drive.endpoint,
            # None lets the SDK look at AWS_CA_BUNDLE and at the profile, as AWS's own tools do.
            verify=str(drive.ca_file) if drive.ca_file else None if drive.verify_tls else False,
            config=config,
        )
    if plain:
        sign_by_checksum(client)
    return client


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
