"""Below a path of a proxy's, whether the proxy passes that path on or takes it off."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Below:
    """An application whose addresses begin with a path: routes are found with it and without it, links have it."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self._path and scope["type"] == "http":
            path = self._path + "/" if scope["path"] == self._path else scope["path"]
            scope = {**scope, "root_path": self._path, "path": path}
        await self._app(scope, receive, send)
