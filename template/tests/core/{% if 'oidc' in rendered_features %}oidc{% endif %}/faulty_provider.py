"""A provider whose responses a test counts, delays, replaces or withholds."""

import asyncio
import socket
from collections import Counter
from contextlib import ExitStack

from joserfc.jwk import RSAKey
from starlette.types import ASGIApp, Receive, Scope, Send

from tools.identity_provider import HOST, IdentityProvider, serve

METADATA = "/.well-known/openid-configuration"
KEYS = "/keys"


class FaultyProvider:
    """Listens on the same port each time that it is started."""

    def __init__(self, key: RSAKey) -> None:
        with socket.create_server((HOST, 0)) as listener:
            self.port = listener.getsockname()[1]
        self.identity = IdentityProvider(f"http://{HOST}:{self.port}", key)
        self.app = self.identity.app()
        self.requests: Counter[str] = Counter()
        self.delay = 0.0
        # By path; others get the provider's own.
        self.responses: dict[str, ASGIApp] = {}
        self._running = ExitStack()

    def start(self) -> None:
        listener = self._running.enter_context(socket.create_server((HOST, self.port)))
        self._running.enter_context(serve(self, listener))

    def stop(self) -> None:
        self._running.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        self.requests[path] += 1
        await asyncio.sleep(self.delay)
        await self.responses.get(path, self.app)(scope, receive, send)
