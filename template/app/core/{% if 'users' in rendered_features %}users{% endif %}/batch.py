"""What tasks ask for in the same iteration of the event loop, read together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

# Bounds the statements that are prepared, and what one failure affects.
MAX_KEYS = 32

ValueT = TypeVar("ValueT")
Read: TypeAlias = Callable[[Sequence[str]], Awaitable[Mapping[str, ValueT]]]


class Batch(Generic[ValueT]):
    """Keys whose values are read together."""

    def __init__(self, read: Read[ValueT]) -> None:
        """The caller calls `get` before it awaits anything else."""
        self.is_open = True
        """Whether `get` may still be called."""
        self._waiting: list[tuple[str, asyncio.Future[ValueT | None]]] = []
        # Starts after all that is ready to run now, and may join; one of create_task may be eager.
        self._reader = asyncio.Task(self._read_all(read))

    async def get(self, key: str) -> ValueT | None:
        """Return the value of a key or None; raises what reading the keys raises.

        The read is cancelled once every task that waits for it is.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ValueT | None] = loop.create_future()
        self._waiting.append((key, future))
        self.is_open = len(self._waiting) < MAX_KEYS
        try:
            return await future
        except asyncio.CancelledError:
            # A second cancellation would interrupt what the first one has to finish.
            if not self._reader.cancelling() and all(one.cancelled() for _, one in self._waiting):
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
        finally:
            # Those that wait for a read that was cancelled.
            for _, future in self._waiting:
                future.cancel()
            # Errors refer to what was running.
            self._waiting.clear()
