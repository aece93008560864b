"""Secret tokens, of which the database has only hashes."""

import hashlib
import secrets

# Random bytes, which cannot be guessed: a fast hash without a salt is enough.
BYTES = 32


def new_token(prefix: str) -> str:
    """Return a token such as `session_8Wb…`; the prefix lets scanners for secrets find it."""
    return f"{prefix}{secrets.token_urlsafe(BYTES)}"


def hash_token(token: str) -> str:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
