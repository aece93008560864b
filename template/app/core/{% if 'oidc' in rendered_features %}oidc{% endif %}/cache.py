"""The callers of tokens that were verified a short time ago."""

import time
from hashlib import sha256

from app.core.auth.principal import Principal


class VerifiedTokens:
    """Saves repeating a verification, which would take a fifth of a read.

    Safe, because a second verification of the same bytes could only differ in two ways: the token
    may have expired, which `find` checks, or its key may have been withdrawn, for which `find`
    forgets all tokens as soon as the keys differ. Only valid tokens get in, so that no one else can
    push them out, and only their hashes are kept, so that a memory dump has none.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._callers: dict[bytes, tuple[float, Principal]] = {}
        self._keys_version = 0

    def find(self, token: str, keys_version: int) -> Principal | None:
        """Return the caller of a token that is still valid; None if it has to be verified."""
        self._forget_outdated(keys_version)
        expiry, caller = self._callers.get(digest(token), (0, None))
        return caller if time.time() < expiry else None

    def add(self, token: str, keys_version: int, caller: Principal, expiry: float) -> None:
        """Remember a caller until the time `expiry`, in seconds; the oldest one has to go."""
        if self.size == 0:
            return
        self._forget_outdated(keys_version)
        if len(self._callers) >= self.size:
            del self._callers[next(iter(self._callers))]
        self._callers[digest(token)] = (expiry, caller)

    def _forget_outdated(self, keys_version: int) -> None:
        if keys_version != self._keys_version:
            self._callers.clear()
            self._keys_version = keys_version


def digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
