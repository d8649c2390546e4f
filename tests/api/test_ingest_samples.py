"""The samples of docs/ingest.md, which are those of BackupMonitor's page: run as they stand there, with our address."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from backupman.records import now
from tests.api._entries import noted, recorded
from tests.api.conftest import KEYS, Api
from tests.pages import ROOT, Page

PAGE = Page(ROOT / "docs/ingest.md")
SHELL = [block.text for block in PAGE.blocks("sh", "bash") if "curl" in block.text]
RESULT, WITH_JQ, NOTIFICATION, DISKS = SHELL
POWERSHELL = [block.text for block in PAGE.blocks("powershell")]
DF = """#!/bin/sh
cat <<END
Filesystem     1024-blocks      Used Available Capacity Mounted on
udev               4000000         0   4000000       0% /dev
/dev/sda1         50000000  46500000   3500000      93% /
/dev/sdb1         50000000  41000000   9000000      82% /srv/my backups
/dev/sdc1         50000000  20000000  30000000      40% /home
tmpfs              4000000   3999999         1     100% /tmp
END
"""

pytestmark = [pytest.mark.service("curl"), pytest.mark.service("jq")]


@pytest.fixture
def run(api: Api, tmp_path: Path) -> Callable[[str, str], str]:
    """Runs a sample by a shell, on a machine named web-1 with the disks of `DF`; what it printed."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("df", DF), ("hostname", "#!/bin/sh\necho web-1\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(shell: str, sample: str) -> str:
        script = tmp_path / "sample"
        text = sample.replace("https://backups.example.com", api.url).replace("bm_your-api-key-here", KEYS["ingest"])
        assert text.count(api.url) == 1
        script.write_text(text)
        env = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        done = subprocess.run([shell, script], capture_output=True, text=True, env=env, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_result_is_sent(api: Api, run: Callable[[str, str], str]) -> None:
    assert "HTTP/1.1 201 Created" in run("sh", RESULT)
    (backup,) = recorded(api)
    shown = [backup[key] for key in ("Device", "Job", "SaidStatus", "Status", "Message", "Sender")]
    assert shown == [
        "web-1",
        "Nightly Full Backup",
        "Success",
        "finished",
        "Backup completed. 142 GB transferred.",
        "script-web-1",
    ]
    assert now() - timedelta(minutes=1) < datetime.fromisoformat(backup["CreatedAt"]) <= now()


def test_quotes_break_a_result_and_jq_mends_it(api: Api, run: Callable[[str, str], str]) -> None:
    variables = RESULT[: RESULT.index("curl")]
    awkward = variables.replace("Backup completed.", r"Said \"no\" in C:\\backup,\ntwice,")
    answer = run("sh", awkward + RESULT[RESULT.index("curl") :])
    assert "HTTP/1.1 400 Bad Request" in answer
    assert "quotes are written" in answer
    assert recorded(api) == []
    assert list(json.loads(run("sh", awkward + WITH_JQ))) == ["Id"]
    assert '"no" in C:\\' in recorded(api)[0]["Message"]


def test_a_notification_is_sent(api: Api, run: Callable[[str, str], str]) -> None:
    assert "HTTP/1.1 201 Created" in run("sh", NOTIFICATION)
    (note,) = noted(api)
    shown = [note[key] for key in ("Device", "Job", "Type", "Severity", "Message", "Sender")]
    assert shown == ["web-1", "Job", "some_alert", "info", "This is a test.", "script-web-1"]


def test_disks_that_fill_up_are_told_of_and_healthy_ones_are_not(api: Api, run: Callable[[str, str], str]) -> None:
    said = run("bash", DISKS)
    assert "[ok] /home (/dev/sdc1): 60% free" in said
    assert {
        (note["Device"], note["Type"], note["Severity"], note["Message"], note["Sender"]) for note in noted(api)
    } == {
        ("web-1", "disk_space_low", "error", "Drive / (/dev/sda1) has only 7% free space remaining.", "disk-monitor"),
        (
            "web-1",
            "disk_space_low",
            "warning",
            "Drive /srv/my backups (/dev/sdb1) has only 18% free space remaining.",
            "disk-monitor",
        ),
    }


# PowerShell is not here: what it would send is made of its samples, as ConvertTo-Json writes it and the web cmdlets
# encode it. Up to 7.3 they send a text as latin-1 (5.1 on many a machine as cp1252), later ones as UTF-8.


def as_5_1(body: dict[str, str]) -> bytes:
    lines = ",\n".join(
        f"    {json.dumps(name)}:  {json.dumps(value, ensure_ascii=False)}" for name, value in body.items()
    )
    text = "{\n" + lines + "\n}"
    escaped = "".join(f"\\u{ord(char):04x}" if char in "'<>&" else char for char in text)
    return escaped.replace("\n", "\r\n").encode("cp1252")


def as_7_4(body: dict[str, str]) -> bytes:
    return json.dumps(body, indent=2, ensure_ascii=False).replace("\n", "\r\n").encode()


def body_of(sample: str, **known: str) -> dict[str, str]:
    """The hashtable that a sample sends, with its variables filled in."""
    values = known | dict(re.findall(r'^\$(\w+) = "([^"]*)"', sample, re.MULTILINE))

    def filled(text: str) -> str:
        return re.sub(r"\$\{?(\w+)\}?", lambda match: values[match[1]], text.strip('"'))

    (table,) = re.findall(r"\$body = @\{\n(.*?)\n *\} \| ConvertTo-Json", sample, re.DOTALL)
    return {name: filled(value) for name, value in re.findall(r"^ *(\w+) = (.+)$", table, re.MULTILINE)}


@pytest.mark.parametrize("encode", [as_5_1, as_7_4], ids=["5.1", "7.4"])
def test_what_powershell_sends_is_understood(
    api: Api, script: httpx.Client, encode: Callable[[dict[str, str]], bytes]
) -> None:
    time = now().strftime("%Y-%m-%dT%H:%M:%S+00:00")
    backup, notification, disk = (
        body_of(
            sample,
            DEVICE="BÜRO-1",
            HOSTNAME="BÜRO-1",
            TIMESTAMP=time,
            timestamp=time,
            severity="error",
            driveLetter="C:",
            freePercent="7",
        )
        for sample in POWERSHELL
    )
    backup["message"] = "Müller's Sicherung: 142 € <fertig>"
    headers = {"Content-Type": "application/json"}
    with script:
        for path, body in (("backup", backup), ("notification", notification), ("notification", disk)):
            answer = script.post(f"/api/ingest/{path}", content=encode(body), headers=headers)
            assert answer.status_code == 201, answer.text
    (result,) = recorded(api)
    assert (result["Device"], result["Sender"], result["Status"]) == ("BÜRO-1", "script-BÜRO-1", "finished")
    assert result["Message"] == "Müller's Sicherung: 142 € <fertig>"
    assert [note["Message"] for note in noted(api)] == [
        "This is a test.",
        "Drive C: has only 7% free space remaining.",
    ]
