"""Password hashes: computed in a few threads, so that neither requests nor memory suffer."""

import asyncio
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from app.core.errors import UnavailableError
from app.core.users.settings import UsersSettings, get_users_settings

ResultT = TypeVar("ResultT")


def normalize_password(password: str) -> str:
    """Return one form of what keyboards of different systems enter as different code points.

    https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver
    """
    return unicodedata.normalize("NFKC", password)


class PasswordHasher:
    """Hashes and verifies passwords with Argon2id, a limited number at the same time."""

    def __init__(self, settings: UsersSettings) -> None:
        hasher = Argon2Hasher(
            memory_cost=settings.argon2_memory_cost,
            time_cost=settings.argon2_time_cost,
            parallelism=settings.argon2_parallelism,
        )
        self._hashes = PasswordHash((hasher,))
        # Verified for accounts that do not exist or have no password, so that they take as long.
        self._decoy = self._hashes.hash(secrets.token_urlsafe())
        # Unlike a semaphore around asyncio.to_thread, it also counts hashes of cancelled requests.
        self._threads = ThreadPoolExecutor(settings.hash_concurrency, "passwords")
        self._limit = settings.hash_concurrency + settings.hash_queue
        self._lock = threading.Lock()
        self._pending = 0

    async def hash(self, password: str) -> str:
        """Return the hash to store. Raises UnavailableError if too many are waiting."""
        normalized = normalize_password(password)
        return await self._run(lambda: self._hashes.hash(normalized))

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Return whether a password is right, and a new hash if the parameters have changed.

        Takes as long without a stored hash. Raises UnavailableError if too many are waiting.
        """
        normalized = normalize_password(password)
        is_right, new_hash = await self._run(
            lambda: self._hashes.verify_and_update(normalized, stored or self._decoy)
        )
        return (is_right, new_hash) if stored else (False, None)

    def reject_overload(self) -> None:
        """Raise UnavailableError if too many are waiting.

        Before an attempt is counted: otherwise, a flood would make owners wait for their accounts.
        """
        if self._pending >= self._limit:
            raise UnavailableError("Too many passwords are being checked; try again.")

    async def _run(self, function: Callable[[], ResultT]) -> ResultT:
        with self._lock:
            self.reject_overload()
            self._pending += 1
        future = self._threads.submit(function)
        future.add_done_callback(self._end)
        return await asyncio.wrap_future(future)

    def _end(self, _future: Future[ResultT]) -> None:
        with self._lock:
            self._pending -= 1


@cache
def get_password_hasher() -> PasswordHasher:
    """Return the hasher of this process."""
    return PasswordHasher(get_users_settings())
