"""The secrets of a login with a provider, all of which the browser's cookie decides."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

from app.core.users.tokens import hash_token


def encode(digest: bytes) -> str:
    return urlsafe_b64encode(digest).decode().rstrip("=")


def new_secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class LoginSecrets:
    """`state`, `nonce` and PKCE of one login.

    Nonce and verifier follow from the cookie and the state, so that the database has none of them,
    and only the browser that has started a login can finish it.
    """

    cookie: str = field(repr=False)
    state: str = field(default_factory=new_secret, repr=False)

    @property
    def nonce(self) -> str:
        return self._derive("nonce")

    @property
    def code_verifier(self) -> str:
        return self._derive("code_verifier")

    @property
    def code_challenge(self) -> str:
        return encode(hashlib.sha256(self.code_verifier.encode()).digest())

    @property
    def state_hash(self) -> str:
        return hash_token(self.state)

    @property
    def cookie_hash(self) -> str:
        return hash_token(self.cookie)

    def _derive(self, purpose: str) -> str:
        message = f"{purpose} {self.state}".encode()
        return encode(hmac.digest(self.cookie.encode(), message, "sha256"))
