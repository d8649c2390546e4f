"""docs/events/ holds the schema of every payload, as the code has it, and what real runs tell fits it."""

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from backupman.engine.payloads import PAYLOADS
from backupman.engine.samples import sample
from backupman.events import BackupExtended, EventKind
from backupman.notifiers.webhook import Webhook
from tests.contracts.messages import message
from tests.e2e.conftest import world
from tests.e2e.world import World
from tests.pages import ROOT

__all__ = ["world"]

KINDS = list(PAYLOADS)
BROKEN = {"provider": "sqlite", "label": "Broken", "db_path": "/proc/none/x.db"}


def must_fit(kind: str, payload: dict[str, Any]) -> None:
    """The payload has what its schema says, and no key that it does not name."""
    schema = json.loads((ROOT / f"docs/events/{kind}.json").read_text(encoding="utf-8"))
    for shape in (schema, *schema.get("$defs", {}).values()):
        shape["additionalProperties"] = False
    jsonschema.Draft202012Validator(schema).validate(payload)


def test_the_schemas_are_up_to_date() -> None:
    argv = [sys.executable, "scripts/event-docs", "--check"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", KINDS)
def test_samples_fit(kind: EventKind) -> None:
    must_fit(kind, sample(kind, {"job": "nightly", "source": "shop", "instance": "host1"}).payload)


@pytest.mark.parametrize("kind", KINDS)
def test_what_notifiers_are_tried_with_fits(kind: EventKind) -> None:
    payload = message(kind).payload
    must_fit(kind, {key: value for key, value in payload.items() if value is not None} | payload)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extended", [False, True])
def test_what_a_webhook_sends_fits_the_schema_that_the_page_names(kind: EventKind, *, extended: bool) -> None:
    block = {"endpoints": [{"url": "http://127.0.0.1:9/hook", "events": [kind], "extended": extended}]}
    [endpoint] = Webhook.model_validate(block).endpoints()
    request = endpoint.request(message(kind))
    assert request
    basic = not extended and PAYLOADS[kind] is BackupExtended
    must_fit("backup" if basic else kind, json.loads(request.content)["Payload"])


def test_what_is_no_payload_does_not_fit() -> None:
    with pytest.raises(jsonschema.ValidationError):
        must_fit("backup_report", sample(EventKind.NOTIFICATION, {"job": "", "source": "", "instance": ""}).payload)


def test_what_real_runs_tell_fits(world: World) -> None:
    world.config["data_sources"].append(BROKEN)
    world.config["retention"] = {"enabled": True, "keep_last": 1}
    for _ in range(2):
        world.run("run", "--source", "App")
    assert world.run("run", "--source", "Broken").code == 1
    assert world.run("verify", "--all").code == 0
    [stored] = [file for file in (world.folder / "drive").rglob("*.gz") if file.is_file()]
    stored.write_bytes(b"something else")
    assert world.run("verify", "--all").code == 1
    events = world.run("events", "list", "-n", "100", "--json").json["Results"]
    assert {event["Event"] for event in events} == {
        *("backup_start", "backup_report", "backup_success", "backup_failure"),
        *("prune_report", "verify_success", "verify_failure"),
    }
    for event in events:
        must_fit(event["Event"], event["Payload"])
    [pruned] = [event["Payload"] for event in events if event["Event"] == "prune_report"]
    assert [copy["Action"] for copy in pruned["Copies"]] == ["delete"]
