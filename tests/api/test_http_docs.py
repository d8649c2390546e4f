"""docs/http-api.md tells of every route, parameter, field and status that the OpenAPI document has, and of no other."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backupman.api import create_api
from backupman.config.http import Scope
from backupman.records import Backup
from tests.api.conftest import ROOT as KEY
from tests.api.conftest import SLOW, Api
from tests.engine._fleet import Fleet, fleet, shared_records
from tests.pages import ROOT, Page

__all__ = ["fleet", "shared_records"]

PAGE = Page(ROOT / "docs/http-api.md")
SECTIONS = {name: PAGE.section(name) for name in re.findall(r"^### `([A-Z]+ /\S*)`$", PAGE.text, re.MULTILINE)}
ANYWHERE = {"401", "403", "429", "4XX", "5XX"}
"""What the sections on keys and errors tell of."""

Operations = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from backupman.daemon import Daemon
    from tests.api.conftest import configuration

    folder = tmp_path_factory.mktemp("document")
    daemon = Daemon(Api(folder, configuration(folder, "http://127.0.0.1:9")).write())
    try:
        return create_api(daemon).openapi()
    finally:
        daemon.app.close()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> Operations:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def tables(text: str, head: str) -> list[set[str]]:
    """The names in the first column of each table whose first column has that head."""
    found = re.findall(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n?)+)", text, re.MULTILINE)
    return [
        {name for row in table.splitlines() for name in re.findall(r"`(\S+?)`", row.split("|")[1])} for table in found
    ]


def test_the_tables_are_up_to_date() -> None:
    argv = [sys.executable, "scripts/api-docs", "--check"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_route_has_a_section_and_there_is_no_other(operations: Operations) -> None:
    assert set(SECTIONS) == set(operations)


@pytest.mark.parametrize("route", SECTIONS)
def test_a_section_has_everything_of_its_route_and_nothing_else(operations: Operations, route: str) -> None:
    section, operation = SECTIONS[route], operations[route]
    parameters = {parameter["name"] for parameter in operation.get("parameters", [])}
    assert tables(section, "parameter") == ([parameters] if parameters else [])
    (statuses,) = tables(section, "status") or [{"200"}]
    assert statuses == set(operation["responses"]) - ANYWHERE
    scopes = {scope for way in operation.get("security", []) for names in way.values() for scope in names}
    assert set(re.findall(r"Needs the scope `(\w+)`", section)) == scopes
    assert ("Needs no key." in section) == (not scopes)


def test_the_document_tells_of_failures_and_of_links_that_are_not_good(operations: Operations) -> None:
    assert [name for name, operation in operations.items() if "5XX" not in operation["responses"]] == []
    download = operations["GET /api/backups/{backup_id}/download"]["responses"]
    assert "the link is not good" in download["403"]["description"]


def test_every_shape_has_its_table_and_there_is_no_other(document: dict[str, Any], operations: Operations) -> None:
    shapes = {name: set(s["properties"]) for name, s in document["components"]["schemas"].items() if "properties" in s}
    assert shapes.pop("BackupExtended") == shapes["BackupShown"] - {"Live", "Manifest"}
    bodies = [operation["requestBody"] for operation in operations.values() if "requestBody" in operation]
    expected = [
        *shapes.values(),
        *(set(body["content"]["application/json"]["schema"]["properties"]) for body in bodies),
    ]
    there = tables(PAGE.text, "field")
    assert [fields for fields in expected if fields not in there] == []
    assert [fields for fields in there if fields not in expected] == []


def test_every_scope_is_explained() -> None:
    assert tables(PAGE.section("Keys"), "scope") == [{scope.value for scope in Scope}]


# The examples


def shape(value: Any, example: Any) -> Any:
    """What a value has in common with an example of it, if the example is right; a part that is empty shows nothing."""
    if isinstance(value, dict) and isinstance(example, dict) and example:
        return {name: shape(inner, example.get(name)) for name, inner in value.items()}
    if isinstance(value, list) and isinstance(example, list) and value and example:
        return [shape(value[0], example[0])]
    return None


def wait_forever(backup: Backup) -> None:
    """Let whoever reads the backup's object wait, until it is ended."""
    stored = Path(backup.drive_files[0].path or "")
    stored.unlink()
    os.mkfifo(stored)


def prepared(api: Api, route: str, request: pytest.FixtureRequest) -> str:
    """Serve with what the example of a route needs; the id that it uses."""
    if route.endswith("/workers"):
        known: Fleet = request.getfixturevalue("fleet")
        taken = known.work("any", by=known.worker("db-7", "db7", takes_any=True))
        known.store.assignments.began(taken.id, ["4711"])
        api.config |= known.sections
        api.start()
        return taken.id
    if "restores" in route:
        [backup] = api.start().run()
        if route.endswith("/cancel"):
            wait_forever(backup)
        with api.client() as client:
            return str(client.post(f"/api/backups/{backup.id}/restore").json()["Id"])
    if route.endswith(("/retry", "/cancel")):
        source = {"provider": "command", "label": "Slow", "argv": SLOW, "database": "slow", "suffix": ".txt"}
        api.config["data_sources"].append(source)
        with api.start().client() as client:
            (backup_id,) = client.post("/api/backups", json={"Source": "Slow"}).json()["Ids"]
            if route.endswith("/retry"):
                client.post(f"/api/backups/{backup_id}/cancel")
                api.idle()
        return str(backup_id)
    backup = api.start().run()[0]
    if route.endswith("/verifications"):
        assert [checked.error for checked in api.daemon.app.verifier.verify([backup])] == [None]
    return backup.id


@pytest.mark.service("curl")
@pytest.mark.parametrize("route", SECTIONS)
def test_an_example_does_what_it_shows(
    configured: Api, tmp_path: Path, route: str, request: pytest.FixtureRequest
) -> None:
    backup_id = prepared(configured, route, request)
    (example,) = [block.text for block in PAGE.blocks("sh") if block.text in SECTIONS[route]]
    method, path = route.split()
    (asked,) = re.findall(r"\$URL(/[^\"?]*)", example)
    assert re.sub(r"\$ID|latest", "{restore_id}" if "restores" in path else "{backup_id}", asked) == path
    assert ("-X POST" in example or (" -d " in example and "-X" not in example)) == (method == "POST")
    assert ("-X DELETE" in example) == (method == "DELETE")
    folder = tmp_path / "example"
    folder.mkdir()
    env = {"URL": configured.url, "KEY": KEY, "ID": backup_id, "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    argv = ["sh", "-euc", example]
    if path.endswith("/stream"):  # which has no end
        with subprocess.Popen(argv, env=env, cwd=folder, stdout=subprocess.PIPE, start_new_session=True) as reader:
            assert reader.stdout is not None
            assert [reader.stdout.readline() for _ in range(2)] == [b": welcome\n", b"\n"]
            os.killpg(reader.pid, signal.SIGKILL)
        return
    done = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = re.findall(r"```json\n(.*?)```", SECTIONS[route], re.DOTALL)
    if shown:
        answer, (told,) = json.loads(done.stdout), map(json.loads, shown)
        assert shape(answer, told) == shape(told, told)
    elif path.endswith("/download"):
        (file,) = folder.iterdir()
        stored = configured.daemon.app.store.backups.get(backup_id).drive_files[0].path
        assert stored is not None
        assert file.read_bytes() == Path(stored).read_bytes()
    elif path == "/metrics":
        assert "backupman_info{" in done.stdout
    else:
        assert json.loads(done.stdout)["Id"] == backup_id
