"""The metadata and the keys of a provider: fetched once for all, and kept during outages."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog
from joserfc.jws import JWSRegistry

from app.core.openid.key_set import PublicKey, usable_keys
from app.core.openid.provider import Document, Provider, ProviderError

# Seconds between attempts as long as there are no keys.
FAILURE_COOLDOWN = 5.0

logger = structlog.get_logger("app.openid")


class ProviderKeys:
    """The keys that were fetched last; requests wait for a fetch only if they need a new key."""

    def __init__(
        self, provider: Provider, algorithms: Collection[str], *, refetch_cooldown: float
    ) -> None:
        self.provider = provider
        self.algorithms = algorithms
        self.refetch_cooldown = refetch_cooldown
        self.metadata: Document | None = None
        self.keys: list[PublicKey] = []
        self.version = 0
        """Changes with the keys."""
        self.is_current = False
        """Whether the last fetch succeeded."""
        self._fetch: asyncio.Task[None] | None = None
        self._next_fetch = 0.0
        self._fetched_at = -math.inf

    async def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """Return the key of a token; None if the provider does not have it.

        Raises ProviderError if the provider could not be asked.
        """
        key = self._known_key(key_id, algorithm)
        if key is None:
            await self._refresh_if_due()
            key = self._known_key(key_id, algorithm)
        if key is None and not self.is_current:
            raise ProviderError("the provider is unavailable")
        return key

    def _known_key(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        key_type = JWSRegistry.algorithms[algorithm].key_type
        fitting = [
            key
            for key in self.keys
            if key.key_type == key_type and (key.kid == key_id or key_id is None)
        ]
        if key_id is None and len(fitting) > 1:
            return None
        return fitting[0] if fitting else None

    async def find_metadata(self, max_age: float = math.inf) -> Document:
        """Return the provider's metadata, fetched again if it is older than `max_age` seconds.

        Raises ProviderError if it could never be fetched.
        """
        if self.metadata is None or time.monotonic() - self._fetched_at > max_age:
            await self._refresh_if_due()
        if self.metadata is None:
            raise ProviderError("the provider is unavailable")
        return self.metadata

    async def _refresh_if_due(self) -> None:
        """Fetch the keys, or wait for a fetch, unless the last one ended a short time ago."""
        if self._fetch or time.monotonic() >= self._next_fetch:
            await self.refresh()

    async def refresh(self) -> None:
        """Fetch the keys; all who ask meanwhile share one fetch."""
        if self._fetch is None:
            self._fetch = asyncio.create_task(self._fetch_keys())
        # Unlike `await`, does not cancel the fetch with a request that waits for it.
        await asyncio.wait([self._fetch])

    async def _fetch_keys(self) -> None:
        try:
            metadata, document = await self.provider.read()
            self._replace_keys(usable_keys(document, self.algorithms))
            self.metadata = metadata
            self._fetched_at = time.monotonic()
            self.is_current = True
        except ProviderError as error:
            self.is_current = False
            logger.warning(
                "the provider's keys could not be fetched",
                issuer=self.provider.issuer,
                reason=str(error),
            )
        finally:
            self._next_fetch = time.monotonic() + self._cooldown()
            self._fetch = None

    def _replace_keys(self, keys: list[PublicKey]) -> None:
        if [key.as_dict() for key in keys] != [key.as_dict() for key in self.keys]:
            self.keys = keys
            self.version += 1

    def _cooldown(self) -> float:
        return self.refetch_cooldown if self.keys else FAILURE_COOLDOWN

    @asynccontextmanager
    async def kept_current(self, lifetime: float) -> AsyncIterator[None]:
        """Fetch the keys now, and again every `lifetime` seconds, until the block ends."""
        task = asyncio.create_task(self._refresh_regularly(lifetime))
        try:
            yield
        finally:
            running = [task, *filter(None, [self._fetch])]
            for each in running:
                each.cancel()
            await asyncio.wait(running)

    async def _refresh_regularly(self, lifetime: float) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(lifetime if self.is_current else min(self._cooldown(), lifetime))
