"""How much memory an upload takes, measured in a process of its own."""

import json
import subprocess
import sys

from backupman.drives import Drive

_PROGRAM = """
import json, re, sys
from pathlib import Path
from backupman.drives import Drive
from backupman.registry import provider_class

class Zeros:
    def __init__(self, size):
        self.left = size
    def read(self, size):
        given = min(size, self.left)
        self.left -= given
        return bytes(given)

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

settings = json.loads(sys.stdin.read())
drive = provider_class("drives", Drive, settings["provider"]).model_validate(settings)
drive.upload(Zeros(1), "warm", {})
before = peak()
stored = drive.upload(Zeros(int(sys.argv[1])), "large", {})
assert stored.size == int(sys.argv[1])
print(peak() - before)
"""


def grown(drive: Drive, size: int) -> int:
    """By how many bytes an upload of `size` bytes raises the peak of a process that has made a small one before."""
    argv = [sys.executable, "-c", _PROGRAM, str(size)]
    run = subprocess.run(argv, input=json.dumps(drive.revealed()).encode(), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return int(run.stdout)
