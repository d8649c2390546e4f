"""Below a path of a proxy's, whether the proxy passes that path on or takes it off."""

from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send


class Below:
    """An application whose addresses begin with a path: routes are found with it and without it, links have it."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self._path and scope["type"] == "http":
            scope = {**scope, "root_path": self._path, "path": self._found(scope)}
        await self._app(scope, receive, send)

    def _found(self, scope: Scope) -> str:
        """Where the routes are looked for, which leave out the proxy's path where it stands.

        It may be the beginning of addresses of ours, as `/backups` is: then it is the proxy's if there is something
        behind it.
        """
        path: str = scope["path"]
        if not f"{path}/".startswith(f"{self._path}/"):
            return path
        rest = path.removeprefix(self._path)
        if _is_ours(scope, path) and not _is_ours(scope, rest):
            return self._path + path
        return path if rest else path + "/"


def _is_ours(scope: Scope, path: str) -> bool:
    """Whether a route has this address."""
    asked = {**scope, "root_path": "", "path": path}
    return any(route.matches(asked)[0] != Match.NONE for route in scope["app"].routes)
