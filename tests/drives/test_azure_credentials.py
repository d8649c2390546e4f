"""The ways into Azure: keys, signatures, and the identity of a machine, over TLS of a private authority."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from backupman.drives.azure_blob import AzureBlob
from backupman.errors import DriveError
from tests.contracts.objects import NAME, content, put
from tests.drives._azure import azure_drive, azure_of, sas
from tests.drives._proxy import Answer, Forward, Proxy, Request, proxy
from tests.servers.azure import Azure, azurite

pytestmark = pytest.mark.service("azure")

TENANT = "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the certificate of a private authority."""
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    yield folder


@pytest.fixture(scope="module")
def secure(authority: Path) -> Iterator[Azure]:
    """A server that wants TLS, and takes tokens of Microsoft Entra."""
    with azurite("--oauth", "basic", "--cert", f"{authority}/cert.pem", "--key", f"{authority}/key.pem") as port:
        yield Azure(port, scheme="https")


@pytest.fixture
def drive(secure: Azure, authority: Path) -> AzureBlob:
    """A drive at that server by the account's key, whose container is there."""
    drive = azure_drive(secure, "container", ca_file=authority / "ca.pem")
    if not drive._client.exists():
        drive._client.create_container()
    return drive


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What a machine of Azure's asks for its tokens; it says no until its rule is changed."""
    with proxy("http://127.0.0.1:1") as endpoint:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{endpoint.endpoint}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "a-secret-of-the-machine")
        endpoint.rule = lambda request, forward: Answer(400, b'{"statusCode": 400, "message": "no identity"}')
        yield endpoint


def token(request: Request, _: Forward) -> Answer:
    now = int(time.time())
    claims = {"iss": TENANT, "aud": "https://storage.azure.com", "iat": now, "nbf": now, "exp": now + 3600}
    pieces = [json.dumps(piece).encode() for piece in ({"alg": "HS256", "typ": "JWT"}, claims)]
    access = b".".join(base64.urlsafe_b64encode(piece).rstrip(b"=") for piece in [*pieces, b"signature"]).decode()
    answer = {"access_token": access, "expires_on": str(now + 3600), "resource": "r", "token_type": "Bearer"}
    return Answer(200, json.dumps(answer).encode(), {"content-type": "application/json"})


def test_a_key_a_signature_and_a_connection_string_open_it(secure: Azure, drive: AzureBlob) -> None:
    only = {"account": None, "account_key": None, "endpoint": None}
    ways = [
        drive,
        azure_of(drive, account_key=None, sas_token=sas(secure, "container")),
        azure_of(drive, **only, connection_string=secure.connection_string()),
    ]
    for way in ways:
        ref = put(way, NAME, b"body").ref
        assert content(way, ref) == b"body"
        way.delete(ref)


def test_the_identity_of_the_machine_opens_it(drive: AzureBlob, machine: Proxy) -> None:
    machine.rule = token
    by_identity = azure_of(drive, account_key=None)
    ref = put(by_identity, NAME, b"body").ref
    assert content(drive, ref) == b"body"
    by_identity.delete(ref)
    assert machine.seen[0].headers["x-identity-header"] == "a-secret-of-the-machine"
    assert "client_id" not in machine.seen[0].query


def test_one_of_several_identities_can_be_named(drive: AzureBlob, machine: Proxy) -> None:
    machine.rule = token
    azure_of(drive, account_key=None, client_id="11111111-2222").check()
    assert machine.seen[0].query["client_id"] == ["11111111-2222"]


def test_a_machine_without_an_identity_is_told_what_to_do(drive: AzureBlob, machine: Proxy) -> None:
    with pytest.raises(DriveError, match=r"^a container: .*identity") as raised:
        azure_of(drive, account_key=None).check()
    assert raised.value.permanent
    assert "a-secret-of-the-machine" not in raised.value.sentence


WRONG: dict[str, dict[str, str | None]] = {
    "a key of another account": {"account_key": "c29tZXRoaW5nIGVsc2U="},
    "a signature that has expired": {"account_key": None, "sas_token": "EXPIRED"},
}


@pytest.mark.parametrize("what", WRONG)
def test_credentials_that_are_not_accepted(secure: Azure, drive: AzureBlob, what: str) -> None:
    change = WRONG[what].copy()
    if change.get("sas_token"):
        change["sas_token"] = sas(secure, "container", hours=-1)
    with pytest.raises(DriveError, match=r"does not accept the credentials|may not do that") as raised:
        azure_of(drive, **change).check()
    assert raised.value.permanent


@pytest.mark.parametrize("setting", ["account_key", "connection_string"])
def test_credentials_that_cannot_be_read(drive: AzureBlob, setting: str) -> None:
    nothing: dict[str, str | None] = {"account_key": None, "account": None, "endpoint": None}
    change = {"account_key": "abc"} if setting == "account_key" else nothing | {"connection_string": "secret"}
    with pytest.raises(DriveError, match=f"^a container: {setting} cannot be read: copy it anew") as raised:
        azure_of(drive, **change).check()
    assert raised.value.permanent


def test_an_authority_that_nobody_knows_is_not_believed(drive: AzureBlob, tmp_path: Path) -> None:
    with pytest.raises(DriveError, match=r"no TLS with .*: for a private certificate set ca_file"):
        azure_of(drive, ca_file=None).check()
    with pytest.raises(DriveError, match="there is no ca_file"):
        azure_of(drive, ca_file=str(tmp_path / "none.pem")).check()
    unverified = azure_of(drive, ca_file=None, verify_tls=False)
    unverified.check()
    assert "verify_tls is false" in unverified.warnings()[0]
