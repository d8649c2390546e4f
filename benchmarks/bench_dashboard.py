"""How long each page of the dashboard takes on a store of a million backups, and how much a browser loads for it.

A real `backupman serve` is asked over HTTP by somebody who is signed in. Of each backup an event, a delivery and a
notification are on record, too.
"""

import argparse
import re
import statistics
import time
from collections.abc import Mapping

import httpx
from _daemon import KEY, serving, write_config
from _history import fill
from _history import tell as tell_all
from _measure import processor_seconds, processor_share, spread, tell, title, workplace

SOURCES = 4
"""Sources of the config, of three databases each: so many lines has the first page, beside those of other machines."""
PAGES: Mapping[str, str] = {
    "Overview": "/",
    "a backup": "/backups/latest",
    "History": "/backups",
    "History, failed ones": "/backups?status=failed",
    "History, of one job within a year": "/backups?job=job-0&days=365",
    "History, search for a name": "/backups?q=Source+1%2Fdb1",
    "Jobs": "/jobs",
    "Storage": "/storage",
    "Deliveries": "/deliveries",
    "Deliveries, given up, to one endpoint": "/deliveries?state=failed&endpoint=webhook%2FOperations",
    "Deliveries, to one endpoint": "/deliveries?endpoint=webhook%2FOperations",
    "Deliveries, to nobody": "/deliveries?endpoint=nobody",
    "Events": "/events",
    "Events, of a frequent kind": "/events?kind=backup_failure",
    "Events, of a kind that never was": "/events?kind=backup_late",
    "Notifications": "/notifications",
    "Notifications, our own alarms": "/notifications?type=backup_failure",
    "Notifications, of a device with errors": "/notifications?device=device-7&severity=error",
    "Notifications, of a type that never was": "/notifications?type=backup_late",
    "Notifiers": "/notifiers",
    "Config": "/config",
}
_AT_REST = 0.05
"""The share of a core of a daemon that has nothing to do but to answer."""
_OLDER = re.compile(r'rel="next" href="([^"]+)"')
_ASSET = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_TOKEN = re.compile(r'name="token" value="(\w+)"')


def main() -> None:
    """Measure every page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backups", type=int, default=1_000_000, help="how many the store holds")
    parser.add_argument("--turns", type=int, default=15, help="how often each page is asked for")
    asked, _ = parser.parse_known_args()
    title(f"The dashboard on {asked.backups:,} backups; medians of {asked.turns}")
    with workplace() as folder:
        sources = [
            {"provider": "sqlite", "label": f"Source {number}", "db_path": str(folder / "notes.db")}
            for number in range(SOURCES)
        ]
        hook = {"name": "Operations", "url": "http://127.0.0.1:9/hook", "token": "none"}
        config = write_config(folder, data_sources=sources, notifiers={"webhook": {"endpoints": [hook]}})
        fill(config, asked.backups)
        tell_all(config)
        with serving(config) as daemon, httpx.Client(base_url=daemon.url, timeout=300, trust_env=False) as visitor:
            measure(daemon.pid, visitor, asked.turns)


def measure(pid: int, visitor: httpx.Client, turns: int) -> None:
    """Sign in and look at every page, and of lists at the second one, too."""
    token = _TOKEN.findall(visitor.get("/sign-in").text)[0]
    visitor.post("/sign-in", data={"token": token, "key": KEY})
    assets: dict[str, int] = {}
    pages = dict(PAGES)
    for name, path in PAGES.items():
        text = ask(visitor, path)[1]
        for asset in set(_ASSET.findall(text)) - set(assets):
            assets[asset] = visitor.get(asset).num_bytes_downloaded  # packed, as browsers get them
        if older := _OLDER.search(text):
            pages[f"{name}, its second page"] = older[1].replace("&amp;", "&")
    rested(pid)
    for name, path in pages.items():
        used = processor_seconds(pid)
        taken, texts = zip(*(ask(visitor, path) for _ in range(turns)), strict=True)
        used = (processor_seconds(pid) - used) / turns * 1000
        milliseconds = [seconds * 1000 for seconds in taken]
        tell(name, spread(milliseconds, "ms"), "< 50 ms", met=statistics.median(milliseconds) < 50)
        loaded = (len(texts[0].encode()) + sum(assets.values())) / 1000
        tell("    the daemon's processor time for it", f"{used:.1f} ms")
        tell("    with all that it loads", f"{loaded:.1f} kB", "< 60 kB", met=loaded < 60)


def rested(pid: int) -> None:
    """Wait until the daemon has counted what it counts once, beside the first looks."""
    while processor_share(pid, 1) > _AT_REST:
        pass


def ask(visitor: httpx.Client, path: str) -> tuple[float, str]:
    """Seconds until the last byte, and the page."""
    started = time.perf_counter()
    answer = visitor.get(path).raise_for_status()
    return time.perf_counter() - started, answer.text


if __name__ == "__main__":
    main()
