from collections.abc import Callable
from typing import TypeAlias

import pytest

from app.core.openid.keys import ProviderKeys
from app.core.openid.provider import Provider, ProviderError
from app.core.openid.signed_tokens import SignatureVerifier, TokenError
from tests.core.openid.faulty_provider import FaultyProvider

MakeProvider: TypeAlias = Callable[..., Provider]
MakeVerifier: TypeAlias = Callable[..., SignatureVerifier]

ACCEPTED = "is accepted"
UNAVAILABLE = "cannot be verified: the provider is unavailable"
UNKNOWN_KEY = "is signed with an unknown key"
VARIABLE = "TESTED_ISSUER"


@pytest.fixture
def make_provider(faulty_provider: FaultyProvider) -> MakeProvider:
    """`make_provider(timeout=0.5)` reads what the faulty provider publishes."""

    def make(issuer: str = faulty_provider.identity.issuer, *, timeout: float = 5) -> Provider:
        return Provider(issuer, timeout, issuer_variable=VARIABLE)

    return make


@pytest.fixture
def make_verifier(make_provider: MakeProvider) -> MakeVerifier:
    """`make_verifier(refetch_cooldown=1)` verifies tokens with the keys of the faulty provider."""

    def make(
        *algorithms: str, timeout: float = 5, refetch_cooldown: float = 30
    ) -> SignatureVerifier:
        keys = ProviderKeys(
            make_provider(timeout=timeout),
            algorithms or ("RS256", "ES256"),
            refetch_cooldown=refetch_cooldown,
        )
        return SignatureVerifier(keys, max_token_bytes=16_384, max_header_bytes=4096)

    return make


async def result(verifier: SignatureVerifier, token: str) -> str:
    """Return what the verification of a token results in, such as `ACCEPTED`."""
    try:
        await verifier.verify(token)
    except TokenError as error:
        return str(error)
    except ProviderError as error:
        return f"cannot be verified: {error}"
    return ACCEPTED
