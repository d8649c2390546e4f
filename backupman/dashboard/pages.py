"""How pages are made: templates, the words and pictures in them, and the headers that keep everything else out."""

import gzip
import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from backupman import __version__
from backupman.api.keys import daemon_of
from backupman.dashboard.figures import outcome
from backupman.dashboard.sessions import Visit
from backupman.dashboard.words import age, ahead, fact, plain
from backupman.engine.workers import has_fleet
from backupman.records import now
from backupman.text import one_line, size, span

static = APIRouter(include_in_schema=False)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOR_GOOD = "public, max-age=31536000, immutable"
_WORKERS = ("Workers", "/workers")
_NAV = [
    ("Overview", "/", "read"),
    ("History", "/backups", "read"),
    ("Jobs", "/jobs", "read"),
    ("Storage", "/storage", "read"),
    (*_WORKERS, "read"),
    ("Deliveries", "/deliveries", "read"),
    ("Events", "/events", "read"),
    ("Notifications", "/notifications", "read"),
    ("Notifiers", "/notifiers", "read"),
    ("Config", "/config", "admin"),
]
"""The pages of the menu, each with the scope that shows it; that of the workers only where there are some."""
_TONES = {403: "You may not do this", 404: "There is no such page", 409: "Not now", 429: "Too often"}


def render(request: Request, template: str, visit: Visit | None, status: int = 200, **words: Any) -> Response:
    """A page; `words` are what its template speaks of."""
    daemon = daemon_of(request)
    page = _environment().get_template(f"{template}.html.j2")
    text = page.render(
        request=request,
        visit=visit,
        at=now(),
        instance=daemon.app.config.instance,
        version=__version__,
        page_path=request.url.path.removeprefix(request.scope.get("root_path", "")),
        nav=[each for each in _NAV if each[:2] != _WORKERS or has_fleet(daemon.app.config)],
        done=_DONE.get(request.query_params.get("done", "")),
        url=lambda path, **query: address(request, path, **query),
        asset=lambda name: f"{address(request, '/static/' + name)}?v={_assets()[name][2]}",
        **words,
    )
    return Response(text.encode("utf-8", "replace"), status, _HEADERS, "text/html; charset=utf-8")


def refuse(
    request: Request, visit: Visit | None, status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The page that says what is wrong, and what to do."""
    title = _TONES.get(status, "That did not work")
    answer = render(request, "problem", visit, status, title=title, sentence=sentence)
    answer.headers.update(headers or {})
    return answer


def address(request: Request, path: str, **query: Any) -> str:
    """The address of a page of ours, below the path of a proxy's; what is None or empty in its query is left out."""
    asked = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    root: str = request.scope.get("root_path", "")
    joint = "&" if "?" in path else "?"
    return root + quote(path, safe="/?&=%+-._~:") + (f"{joint}{asked}" if asked else "")


def within(following: str) -> str:
    """A page of ours to go on with, and never one of another site."""
    ours = following.startswith("/") and not following.startswith(("//", "/\\", "/sign-")) and following.isprintable()
    return following if ours else "/"


@static.get("/static/{name}")
def asset(request: Request, name: str) -> Response:
    """A file of ours, packed if that is understood; its address holds its hash, so that a browser asks for it once.

    Pages are not packed: they hold tokens beside what strangers wrote, and their sizes would tell of the tokens.
    """
    if name not in _assets() or not daemon_of(request).app.config.http.dashboard:
        raise HTTPException(404, "there is no such file")
    content, packed, _ = _assets()[name]
    headers = {"Cache-Control": _FOR_GOOD, "Vary": "Accept-Encoding", **_HEADERS}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        content, headers["Content-Encoding"] = packed, "gzip"
    return Response(content, 200, headers, _TYPES[name.rpartition(".")[2]])


@cache
def _assets() -> dict[str, tuple[bytes, bytes, str]]:
    """Every file below static: as it is, packed, and the beginning of its hash."""
    found = {}
    for file in (resources.files("backupman.dashboard") / "static").iterdir():
        content = file.read_bytes()
        found[file.name] = content, gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:12]
    return found


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("backupman.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "age": age,
        "ahead": ahead,
        "fact": fact,
        "line": one_line_of,
        "outcome": outcome,
        "plain": plain,
        "size": size,
        "span": span,
        "when": when,
        "since": since,
        "old": old,
        "until": until,
    }
    return environment


def one_line_of(text: object, longest: int = 120) -> str:
    """A text from anywhere in one short line."""
    return one_line(plain(text), longest)


def when(time: datetime | None) -> Markup:
    """A time as `21 Nov 08:00`, in UTC until the browser knows better; all of it in UTC on hover."""
    return _time(time, f"{time:%d %b %H:%M}" if time else "", "when")


def since(time: datetime | None) -> Markup:
    """How long ago a time was, kept up by the browser."""
    return _time(time, age(now() - time) + " ago" if time else "", "since")


def old(time: datetime | None) -> Markup:
    """How old something of that time is, kept up by the browser."""
    return _time(time, age(now() - time) if time else "", "age")


def until(time: datetime | None) -> Markup:
    """How long it is until a time, kept up by the browser."""
    return _time(time, ahead(time - now()) if time else "", "until")


def _time(time: datetime | None, text: str, kind: str) -> Markup:
    if time is None:
        return Markup("")
    iso, full = f"{time:%Y-%m-%dT%H:%M:%SZ}", f"{time:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}" data-{}>{}</time>').format(iso, full, kind, text)


_DONE = {
    "started": "The backup was started.",
    "queued": "It was started; its records appear here in a moment.",
    "retried": "The retry was started.",
    "cancelled": "The backup is being ended.",
    "restoring": "The restore was started; how it goes stands below.",
    "stopping": "The restore is being ended.",
    "pinned": "Its copies are kept until then, whatever the retention says.",
    "unpinned": "The retention decides about its copies again.",
    "deleted": "The backup was deleted, on every drive and from the records.",
    "retained": "A drive keeps its copy itself; the record stays as long as it does.",
    "verifying": "Its copies are being read back; what comes of it appears here.",
    "sent": "The delivery is owed again and goes out now.",
    "replayed": "The event is owed again.",
}
"""What a page says after a form was taken; the address holds the key, so that no other words can be put there."""
