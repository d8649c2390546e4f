"""HEAD wherever there is GET: what that would answer, without its body."""

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """An application that is asked by GET where a client says HEAD; of what it answers only the head is sent.

    The answer is over with its head, so that one that would go on (the stream) sees its reader gone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        asked = {**scope, "method": "GET", "state": {**scope.get("state", {}), "head": True}}
        await self._app(asked, receive, send_head)


def method_of(request: Request) -> str:
    """How the client has asked."""
    return "HEAD" if getattr(request.state, "head", False) else request.method
