"""A provider whose responses a test counts, delays, replaces or withholds."""

import asyncio
import socket
from collections import Counter
from contextlib import ExitStack

from starlette.types import ASGIApp, Receive, Scope, Send

from tools.identity_provider import HOST, IdentityProvider
from tools.identity_server import serve

METADATA = "/.well-known/openid-configuration"
KEYS = "/keys"


class FaultyProvider:
    """Listens on the same port each time that it is started."""

    def __init__(self) -> None:
        with socket.create_server((HOST, 0)) as listener:
            self.port = listener.getsockname()[1]
        self.identity = IdentityProvider(f"http://{HOST}:{self.port}")
        self._app = self.identity.app()
        self._running: ExitStack | None = None
        self.reset()

    def reset(self) -> None:
        """Run without faults."""
        self.requests = Counter[str]()
        self.delay = 0.0
        # By path; others get the provider's own.
        self.responses: dict[str, ASGIApp] = {}
        if not self._running:
            self.start()

    def start(self) -> None:
        self._running = ExitStack()
        listener = self._running.enter_context(socket.create_server((HOST, self.port)))
        self._running.enter_context(serve(self, listener))

    def stop(self) -> None:
        if self._running:
            self._running.close()
        self._running = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        self.requests[path] += 1
        await asyncio.sleep(self.delay)
        await self.responses.get(path, self._app)(scope, receive, send)
