"""The sidecar says all that the records need, and in clear nothing that an encrypted dump hides."""

import json
from datetime import UTC, datetime
from typing import Any

import pyrage
import pytest

from backupman.errors import BackupmanError
from backupman.manifest import Manifest, TableRows
from backupman.pipeline import Encryption
from backupman.sidecar import VERSION, Content, Sidecar, document

KNOWN: dict[str, Any] = {
    "Id": "5f0c6a1e-0000-4000-8000-000000000000",
    "Label": "Shop/orders",
    "Job": "nightly",
    "Source": "Shop",
    "Database": "orders",
    "SourceProvider": "postgres",
    "Instance": "db1",
    "Trigger": "schedule",
    "CreatedAt": "2026-11-21T01:00:00Z",
    "Object": "shop/orders/backup-20261121010000-5f0c6a1e.dump.gz",
    "Compression": "gzip",
    "Encryption": None,
}
CONTENT = Content(
    size=1000,
    facts={"tool": "pg_dump"},
    warnings=["the table secret_stuff is unlogged"],
    manifest=Manifest(provider="postgres", facts={}, tables=[TableRows(name="public.orders", rows=42)]),
)
AT = datetime(2026, 11, 21, 1, 5, tzinfo=UTC)


def made(known: dict[str, Any], seal: Any = None) -> dict[str, Any]:
    return document(known, stored_size=99, sha256="ab" * 32, dumped_at=AT, content=CONTENT, seal=seal)


def parsed(said: dict[str, Any], name: str = KNOWN["Object"]) -> Sidecar:
    return Sidecar.parse(name, json.dumps(said).encode())


def test_what_is_written_comes_back() -> None:
    said = made(KNOWN)
    assert list(said) == [
        "Version",
        *KNOWN,
        "StoredSize",
        "Sha256",
        "DumpedAt",
        "Size",
        "Facts",
        "Warnings",
        "Manifest",
    ]
    found = parsed(said)
    assert (found.version, found.id, found.stored_size, found.sha256) == (VERSION, KNOWN["Id"], 99, "ab" * 32)
    assert (found.created_at, found.dumped_at) == (datetime(2026, 11, 21, 1, tzinfo=UTC), AT)
    assert Content(**{name: getattr(found, name) for name in Content.model_fields}) == CONTENT


def test_beside_an_encrypted_dump_nothing_in_clear_tells_of_the_content() -> None:
    key = pyrage.x25519.Identity.generate()
    said = made(KNOWN | {"Encryption": "age"}, Encryption(recipients=[str(key.to_public())]).armored)
    assert list(said) == ["Version", *KNOWN, "StoredSize", "Sha256", "DumpedAt", "Sealed"]
    assert "secret_stuff" not in json.dumps(said)
    assert "1000" not in json.dumps(
        {name: value for name, value in said.items() if name not in ("Id", "Object", "Sealed")}
    )
    assert said["Sealed"].startswith("-----BEGIN AGE ENCRYPTED FILE-----")
    assert Content.model_validate_json(pyrage.decrypt(said["Sealed"].encode(), [key])) == CONTENT
    assert parsed(said).manifest is None


def test_where_the_keys_are_not_known_any_more_the_content_is_left_out() -> None:
    assert list(made(KNOWN | {"Encryption": "age"})) == ["Version", *KNOWN, "StoredSize", "Sha256", "DumpedAt"]


def test_the_first_format_is_read_too() -> None:
    first = {
        key: value for key, value in made(KNOWN).items() if key not in ("Version", "Trigger", "DumpedAt", "Manifest")
    }
    assert (parsed(first).version, parsed(first).dumped_at) == (1, None)


def test_keys_of_a_later_format_are_passed_over() -> None:
    assert parsed(made(KNOWN) | {"Version": 9, "More": {}}).version == 9


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "cannot be read: it: Invalid JSON"),
        (b"[]", "cannot be read"),
        (json.dumps(made(KNOWN) | {"Sha256": "AB"}).encode(), "cannot be read: Sha256"),
        (json.dumps({"Object": KNOWN["Object"]}).encode(), "cannot be read: Id: Field required"),
        (json.dumps(made(KNOWN) | {"Size": 2**63}).encode(), "cannot be read: Size"),
        (json.dumps(made(KNOWN) | {"StoredSize": 2**63}).encode(), "cannot be read: StoredSize"),
        (json.dumps(made(KNOWN) | {"CreatedAt": "2026-11-21T01:00:00"}).encode(), "the time has no offset"),
        (json.dumps(made(KNOWN) | {"CreatedAt": "0001-01-01T00:00:00+14:00"}).encode(), "no such time in UTC"),
        (json.dumps(made(KNOWN) | {"DumpedAt": "9999-12-31T23:59:59-14:00"}).encode(), "no such time in UTC"),
        (json.dumps(made(KNOWN) | {"Object": "elsewhere/x"}).encode(), "is that of elsewhere/x"),
    ],
)
def test_what_is_no_sidecar_of_the_object_is_refused(said: bytes, why: str) -> None:
    with pytest.raises(BackupmanError, match="its sidecar") as refused:
        Sidecar.parse(KNOWN["Object"], said)
    assert why in refused.value.sentence
