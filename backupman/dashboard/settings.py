"""The config as it was loaded, without what differs not from the defaults, and with every secret masked."""

import yaml
from fastapi import APIRouter, Request
from fastapi.responses import Response

from backupman.api.keys import Served
from backupman.dashboard.doors import Administrator, PageRoute
from backupman.dashboard.pages import render

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/config")
def config(daemon: Served, visit: Administrator, request: Request) -> Response:
    """What `backupman config show` prints."""
    shown = yaml.safe_dump(daemon.app.config.masked(), allow_unicode=True, sort_keys=False)
    return render(request, "config", visit, shown=shown, file=daemon.app.config_file)
