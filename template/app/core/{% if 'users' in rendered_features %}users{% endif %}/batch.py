"""What tasks ask for in the same iteration of the event loop, read at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

# Bounds the statements that are prepared, and what one failure affects.
SIZE = 32

ValueT = TypeVar("ValueT")
Read: TypeAlias = Callable[[Sequence[str]], Awaitable[Mapping[str, ValueT]]]


class Batch(Generic[ValueT]):
    """Keys whose values are read together."""

    def __init__(self, read: Read[ValueT]) -> None:
        """To be called by the first task that gets a key."""
        self.is_open = True
        """Whether `get` may still be called."""
        self._waiting: list[tuple[str, asyncio.Future[ValueT | None]]] = []
        # Starts after all that is ready to run now, and may join.
        self._reader = asyncio.create_task(self._read_all(read))

    async def get(self, key: str) -> ValueT | None:
        """Return the value of a key or None; raises what reading the keys raises.

        The read is cancelled once every task that waits for it is.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ValueT | None] = loop.create_future()
        self._waiting.append((key, future))
        self.is_open = len(self._waiting) < SIZE
        try:
            return await future
        except asyncio.CancelledError:
            if all(waiting.cancelled() for _, waiting in self._waiting):
                self._reader.cancel()
            raise

    async def _read_all(self, read: Read[ValueT]) -> None:
        self.is_open = False
        try:
            found = await read([key for key, _ in self._waiting])
        except Exception as error:
            for _, future in self._waiting:
                if not future.done():
                    future.set_exception(error)
        else:
            for key, future in self._waiting:
                if not future.done():
                    future.set_result(found.get(key))
