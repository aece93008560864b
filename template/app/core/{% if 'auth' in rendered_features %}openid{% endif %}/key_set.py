"""The keys of a key set (RFC 7517) that can verify the signatures of tokens."""

import warnings
from collections.abc import Collection
from typing import Any, TypeAlias

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from app.core.openid.provider import Document, ProviderError

PublicKey: TypeAlias = RSAKey | ECKey | OKPKey


def usable_keys(document: Document, algorithms: Collection[str]) -> list[PublicKey]:
    """Return the keys of a key set that verify signatures with one of the algorithms.

    Raises ProviderError if there are none.
    """
    found = document.get("keys")
    if not isinstance(found, list):
        raise ProviderError("its key set has no list of keys")
    keys = [key for data in found if (key := import_key(data, algorithms))]
    if not keys:
        raise ProviderError(f"its key set has no key for {', '.join(algorithms)}")
    return keys


def import_key(data: Any, algorithms: Collection[str]) -> PublicKey | None:
    """Return the key; None if it is not one that verifies signatures with the algorithms."""
    try:
        with warnings.catch_warnings():
            # Of keys that are too short.
            warnings.simplefilter("error", SecurityWarning)
            key = JWKRegistry.import_key(data)
        # A key set with a private key lets anyone sign.
        if isinstance(key, OctKey) or key.is_private:
            return None
        key.check_key_op("verify")
        key.ensure_kid()
    except (JoseError, SecurityWarning, LookupError, TypeError, ValueError, ArithmeticError):
        return None
    fitting = [name for name in algorithms if is_key_for(key, name)]
    return key if fitting else None


def is_key_for(key: PublicKey, algorithm: str) -> bool:
    try:
        JWSRegistry.algorithms[algorithm].check_key(key)
    except JoseError:
        return False
    return True
