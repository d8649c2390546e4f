"""borgmatic itself, in an environment of its own that scripts/test-servers makes: what its hooks send to a receiver.

It is the oracle for the blocks that both programs take, and no part of the product: it is run, never imported.
"""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.pages import ROOT
from tests.servers import unavailable

if TYPE_CHECKING:  # a plugin of its own, which pytest has to be the first to import
    from tests.servers.receiver import Receiver, Request

PYTHON = ROOT / "build/borgmatic/bin/python"
HOOKS = Path(__file__).parent / "_borgmatic_hooks.py"

Sent = dict[tuple[str, str], list["Request"]]
"""What was sent, by hook and state."""
Borgmatic = Callable[[Mapping[str, Any], Sequence[str]], Sent]


@pytest.fixture
def borgmatic(receiver: "Receiver", tmp_path: Path) -> Borgmatic:
    """Calls its hooks with these blocks for each of the states; what arrived at the receiver."""
    if not PYTHON.exists():
        unavailable("borgmatic", f"{PYTHON} is not there: run scripts/test-servers")

    def ping(config: Mapping[str, Any], states: Sequence[str]) -> Sent:
        task = {
            "config": config,
            "states": states,
            "config_file": str(tmp_path / "config.yml"),
            "marks": f"{receiver.url}/marks",
            "pagerduty": f"{receiver.url}/v2/enqueue",
        }
        before = len(receiver.requests)
        done = subprocess.run(
            [PYTHON, "-I", HOOKS],
            input=json.dumps(task),
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        sent: Sent = {}
        for request in receiver.requests[before:]:
            if request.path.startswith("/marks/"):
                hook, state = request.path.removeprefix("/marks/").split("/")
                found = sent.setdefault((hook, state), [])
            else:
                found.append(request)
        return sent

    return ping
