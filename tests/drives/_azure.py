"""Azure drives for tests."""

from datetime import UTC, datetime, timedelta

from backupman.drives.azure_blob import AzureBlob
from tests.drives._proxy import Request
from tests.servers.azure import Azure

BLOCK = 256 * 1024


def azure_drive(server: Azure, container: str, **more: object) -> AzureBlob:
    """A drive at that server; a setting of None is left out."""
    settings = {
        "provider": "azure_blob",
        "label": "a container",
        "container": container,
        "account": server.account,
        "account_key": server.key,
        "endpoint": server.endpoint,
        "prefix": "back ups/",
        "block_size": BLOCK,
        **more,
    }
    return AzureBlob.model_validate({name: value for name, value in settings.items() if value is not None})


def azure_of(drive: AzureBlob, **more: object) -> AzureBlob:
    """The same drive with other settings."""
    settings = drive.revealed() | more
    return AzureBlob.model_validate({name: value for name, value in settings.items() if value is not None})


def sas(server: Azure, container: str, permission: str = "racwdl", hours: float = 1) -> str:
    """A shared access signature for a container; that of an hour ago has expired."""
    from azure.storage.blob import generate_container_sas

    until = datetime.now(UTC) + timedelta(hours=hours)
    return generate_container_sas(
        server.account, container, account_key=server.key, permission=permission, expiry=until
    )


def kind_of(request: Request) -> str:
    """What a request is for."""
    if request.query.get("comp") == ["list"]:
        return "list"
    if "comp" in request.query:
        comp = request.query["comp"][0]
        return {"block": "block", "blocklist": "commit" if request.method == "PUT" else "blocks"}[comp]
    return {"HEAD": "head", "GET": "get", "DELETE": "delete"}[request.method]
