"""Run by borgmatic's own Python: calls its monitoring hooks for each state, after a mark that says which.

Reads {"config": …, "config_file": …, "states": […], "marks": URL, "pagerduty": URL} from standard input. The one thing
that is changed of borgmatic is where PagerDuty is, for which it has no setting.
"""

import importlib
import json
import logging
import sys
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

log = logging.getLogger("borgmatic")


def main() -> None:
    """Initialize, ping and destroy each hook of the config, as a run of borgmatic does."""
    task: dict[str, Any] = json.load(sys.stdin)
    call_hooks: Any = importlib.import_module("borgmatic.hooks.dispatch").call_hooks
    monitoring: Any = importlib.import_module("borgmatic.hooks.dispatch").Hook_type.MONITORING
    states: Any = importlib.import_module("borgmatic.hooks.monitoring.monitor").State
    pagerduty: Any = importlib.import_module("borgmatic.hooks.monitoring.pagerduty")
    pagerduty.EVENTS_API_URL = task["pagerduty"]
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    for name, block in task["config"].items():
        for state in task["states"]:
            urlopen(f"{task['marks']}/{quote(name)}/{state}").close()  # noqa: S310 - an address of the tests
            config = {name: block}
            call_hooks("initialize_monitor", config, monitoring, task["config_file"], logging.INFO, False)
            log.info("dumping the database")
            ping = (task["config_file"], states[state.upper()], logging.INFO, False)
            call_hooks("ping_monitor", config, monitoring, *ping)
            call_hooks("destroy_monitor", config, monitoring, logging.INFO, False)


if __name__ == "__main__":
    main()
