"""Azure Blob Storage against Azurite: the contract, its settings, and what arrives at the server."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pytest
from pydantic import ValidationError

from backupman.drives import Drive, Stat
from backupman.drives._azure_upload import MAX_BLOCK, Blocks
from backupman.drives.azure_blob import AzureBlob
from backupman.errors import DriveError, DumpError, Retained
from tests.contracts.drive import Leftovers, ReachedContract
from tests.contracts.objects import NAME, Reader, content, put
from tests.drives._azure import BLOCK, azure_drive, azure_of, kind_of, sas
from tests.drives._memory import grown
from tests.drives._proxy import Answer, Forward, Proxy, Request, proxy
from tests.servers._process import free_port
from tests.servers.azure import Azure

MIB = 2**20

pytestmark = pytest.mark.service("azure")


class TestAzureBlob(ReachedContract):
    part_size = BLOCK

    @pytest.fixture
    def container(self, azure: Azure) -> str:
        return azure.make_container()

    @pytest.fixture
    def drive(self, azure: Azure, container: str) -> Drive:
        return azure_drive(azure, container)

    @pytest.fixture
    def other(self, azure: Azure) -> Drive:
        return azure_drive(azure, azure.make_container(), label="another container")

    @pytest.fixture
    def unreachable(self, azure: Azure) -> Drive:
        return azure_drive(azure, "container", endpoint=f"http://127.0.0.1:{free_port()}/{azure.account}")

    @pytest.fixture
    def leftovers(self, azure: Azure, container: str, drive: Drive) -> Leftovers:
        def visible() -> list[str]:
            """All that anybody can see there, besides the drive's whole objects."""
            with azure.container(container) as client:
                return sorted(set(client.list_blob_names()) - set(drive.list()))

        return visible


@pytest.fixture
def drive(azure: Azure, between: Proxy) -> AzureBlob:
    """A drive behind the proxy."""
    return azure_drive(azure, azure.make_container(), endpoint=f"{between.endpoint}/{azure.account}")


@pytest.fixture
def between(azure: Azure) -> Iterator[Proxy]:
    with proxy(f"http://127.0.0.1:{azure.port}") as running:
        yield running


def kinds(between: Proxy) -> list[str]:
    return [kind_of(request) for request in between.seen]


def test_blocks_are_staged_and_then_committed_at_once(drive: AzureBlob, between: Proxy) -> None:
    data = os.urandom(2 * BLOCK + 1)
    stored = put(drive, NAME, data)
    assert kinds(between) == ["head", "blocks", "block", "block", "block", "commit", "head"]
    assert all("content-md5" in request.headers for request in between.seen if kind_of(request) in ("block", "commit"))
    [commit] = [request for request in between.seen if kind_of(request) == "commit"]
    assert commit.headers["if-none-match"] == "*"
    assert stored.checksums == {"md5": hashlib.md5(data, usedforsecurity=False).hexdigest()}
    assert drive.stat(stored.ref) == Stat(len(data), stored.checksums)


def test_blocks_that_are_there_already_are_not_sent_again(azure: Azure, drive: AzureBlob, between: Proxy) -> None:
    data = os.urandom(3 * BLOCK + 5)
    with pytest.raises(DumpError):
        put(drive, NAME, cast(BinaryIO, Reader(data[: 2 * BLOCK], error=DumpError("it broke"))))
    between.seen.clear()
    changed = data[:BLOCK] + os.urandom(BLOCK) + data[2 * BLOCK :]
    stored = put(azure_of(drive), NAME, changed)
    assert kinds(between).count("block") == 3, "the first one stands there"
    assert content(drive, stored.ref) == changed


def test_what_an_upload_left_behind_goes_with_the_next_one(azure: Azure, drive: AzureBlob) -> None:
    with pytest.raises(DumpError):
        put(drive, NAME, cast(BinaryIO, Reader(os.urandom(2 * BLOCK), error=DumpError("it broke"))))
    with azure.container(drive.container) as client:
        assert list(client.list_blob_names()) == []
        put(drive, NAME, os.urandom(10))
        blob = client.get_blob_client(drive.path(NAME))
        committed, uncommitted = blob.get_block_list("all")
    assert (len(committed), len(uncommitted)) == (1, 0)


def test_metadata_and_tier_are_set(azure: Azure, drive: AzureBlob) -> None:
    drive = azure_of(drive, tier="cool")
    stored = drive.upload(io.BytesIO(b"body"), NAME, {"source": "größe", "": "nothing", "long": "x" * 9000})
    with azure.container(drive.container) as client:
        about = client.get_blob_client(stored.ref).get_blob_properties()
    assert about.metadata == {"source": "gr%C3%B6%C3%9Fe"}
    assert str(getattr(about.blob_tier, "value", about.blob_tier)) == "Cool"


def test_reading_starts_anywhere(drive: AzureBlob) -> None:
    data = os.urandom(1000)
    with drive.open(put(drive, NAME, data).ref) as stream:
        assert stream.seek(-10, io.SEEK_END) == 990
        assert stream.read() == data[990:]
        stream.seek(500)
        assert stream.read(20) == data[500:520]


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(azure: Azure, drive: AzureBlob) -> None:
    ref = put(drive, NAME, b"before").ref
    with drive.open(ref) as stream:
        with azure.container(drive.container) as client:
            client.upload_blob(ref, b"behind", overwrite=True)
        with pytest.raises(DriveError, match="was replaced while it was read"):
            stream.read()


def test_lists_of_many_pages(azure: Azure, drive: AzureBlob, between: Proxy) -> None:
    drive = azure_of(drive, account_key=None, sas_token=sas(azure, drive.container))  # which does not sign the query
    refs = [put(drive, f"shop/{number}", b"").ref for number in range(5)]

    def two_a_page(request: Request, forward: Forward) -> Answer:
        if kind_of(request) == "list":
            request.target += "&maxresults=2"
        return forward()

    between.rule = two_a_page
    between.seen.clear()
    assert list(drive.list()) == refs
    assert kinds(between) == ["list"] * 3


def test_with_delete_never_nothing_is_removed(drive: AzureBlob) -> None:
    drive = azure_of(drive, delete="never")
    ref = put(drive, NAME, b"body").ref
    with pytest.raises(Retained, match="is left to the account's lifecycle rules"):
        drive.delete(ref)
    assert content(drive, ref) == b"body"
    drive.delete("back ups/gone")


@pytest.mark.parametrize("first", [BLOCK, 8 * MIB, 100 * MIB, MAX_BLOCK])
def test_blocks_grow(first: int) -> None:
    sizes = list(Blocks(first, 4).sizes())
    assert len(sizes) == 50_000
    assert sizes[:7500] == [first] * 7500
    assert sizes == sorted(sizes)
    assert max(sizes) <= MAX_BLOCK
    if first >= 8 * MIB:
        assert sum(sizes) > 5 * 2**40


def test_grown_blocks_are_fewer_at_once() -> None:
    blocks = Blocks(8 * MIB, 4)
    assert [blocks.at_once(size * MIB) for size in (8, 16, 32, 512)] == [4, 2, 2, 2]
    assert Blocks(8 * MIB, 1).at_once(2**30) == 1


def test_an_object_of_too_many_blocks_is_refused(drive: AzureBlob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupman.drives._azure_upload.MAX_BLOCKS", 2)
    assert put(drive, "fits", bytes(2 * BLOCK)).size == 2 * BLOCK
    with pytest.raises(DriveError, match="set a larger block_size") as raised:
        put(drive, NAME, bytes(2 * BLOCK + 1))
    assert raised.value.permanent
    assert drive.find(NAME) is None


def test_two_prefixes_of_one_container_stay_apart(azure: Azure) -> None:
    container = azure.make_container()
    one, two, whole = (azure_drive(azure, container, prefix=prefix) for prefix in ("shop", "shop2", ""))
    refs = [put(drive, NAME, b"body").ref for drive in (one, two)]
    assert refs == [f"shop/{NAME}", f"shop2/{NAME}"]
    assert [list(drive.list()) for drive in (one, two, whole)] == [[refs[0]], [refs[1]], refs]


def test_memory_is_bounded_by_the_blocks(azure: Azure, between: Proxy) -> None:
    def sink(request: Request, forward: Forward) -> Answer:
        """A server that takes everything, keeps nothing, and tells nothing."""
        left = request.length
        while left:
            left -= len(request.read(min(left, 2**16)))
        return Answer(201) if request.method == "PUT" else Answer(403)

    between.rule = sink
    endpoint = f"{between.endpoint}/{azure.account}"
    drive = azure_drive(azure, "container", endpoint=endpoint, block_size="4MiB", concurrency=3)
    most = 2 * 3 * 4 * MIB + 12 * MIB  # each block once, and what the allocator keeps of those before
    assert grown(drive, 200 * MIB) < most


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no url": ({"endpoint": "store.example.com"}, "should be a URL"),
    "two ways in": ({"sas_token": "sig=x"}, "one of connection_string, account_key, sas_token and client_id"),
    "two accounts": ({"account_key": None, "connection_string": "x"}, "no account and endpoint beside"),
    "no account": ({"account": None, "endpoint": None}, "should have account, endpoint or connection_string"),
    "no name": ({"account": "My_Store"}, "should match pattern"),
}


@pytest.mark.parametrize("what", WRONG)
def test_settings_that_make_no_sense_are_refused(drive: AzureBlob, what: str) -> None:
    change, sentence = WRONG[what]
    with pytest.raises(ValidationError, match=sentence):
        azure_of(drive, **change)


def test_the_parts_of_a_secret_are_secrets_too(azure: Azure, drive: AzureBlob) -> None:
    only = {"account": None, "account_key": None, "endpoint": None}
    text = azure.connection_string()
    assert list(azure_of(drive, **only, connection_string=text).secrets()) == [text, azure.key]
    token = sas(azure, "container")
    signed = azure_of(drive, account_key=None, sas_token=token)
    assert token.partition("sig=")[2] in signed.secrets()
    assert token.partition("sig=")[2] not in signed.redact(f"https://host/x?{token}")


def test_the_sdk_is_imported_when_it_is_used() -> None:
    program = (
        "import sys; from backupman.drives.azure_blob import AzureBlob; "
        "AzureBlob(provider='azure_blob', label='l', container='c', account='store'); "
        "sys.exit(any(name.startswith(('azure', 'msal', 'requests')) for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
