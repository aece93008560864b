"""Tokens that were verified before, and when they have to be verified again."""

import time

import pytest
from joserfc.jws import JWSRegistry

from app.core.auth.principal import Principal
from app.core.oidc import cache
from app.core.oidc.cache import VerifiedTokens
from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp, bearer
from tools.identity_provider import IdentityProvider

CALLER = Principal("me", frozenset())


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The messages whose signatures were verified."""
    algorithm = JWSRegistry.algorithms["RS256"]
    verify, found = algorithm.verify, list[bytes]()

    def record(message: bytes, signature: bytes, key: object) -> bool:
        found.append(message)
        return verify(message, signature, key)

    monkeypatch.setattr(algorithm, "verify", record)
    return found


@pytest.mark.parametrize(("size", "count"), [(1000, 1), (0, 3)])
async def test_a_token_is_verified_once(
    make_app: MakeApp,
    identity_provider: IdentityProvider,
    verifications: list[bytes],
    size: int,
    count: int,
) -> None:
    headers = bearer(identity_provider.access_token("me"))
    async with connect(make_app(cache_size=size)) as client:
        for _ in range(3):
            assert (await client.get("/caller", headers=headers)).json()["id"] == "me"
    assert len(verifications) == count


async def test_a_verified_token_expires(
    make_app: MakeApp, identity_provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    headers = bearer(identity_provider.access_token("me", exp=now + 10))
    async with connect(make_app(clock_skew=5)) as client:
        for later, status in ((0, 200), (14, 200), (15, 401), (14, 200)):
            monkeypatch.setattr(time, "time", lambda later=later: now + later)
            assert (await client.get("/caller", headers=headers)).status_code == status


async def test_a_token_that_differs_in_one_character_is_verified(
    make_app: MakeApp, identity_provider: IdentityProvider
) -> None:
    token = identity_provider.access_token("me")
    async with connect(make_app()) as client:
        assert (await client.get("/caller", headers=bearer(token))).status_code == 200
        for changed in (token[:-1], token + "A", token.swapcase(), token[1:]):
            assert (await client.get("/caller", headers=bearer(changed))).status_code == 401


async def test_rejected_tokens_are_not_remembered(
    make_app: MakeApp, identity_provider: IdentityProvider
) -> None:
    app = make_app()
    async with connect(app) as client:
        for token in (identity_provider.access_token("me", exp=1), "x.y.z", ""):
            assert (await client.get("/caller", headers=bearer(token))).status_code == 401
    assert not app.state.oidc.verified._callers


def test_the_oldest_tokens_are_forgotten_first() -> None:
    tokens = VerifiedTokens(size=2)
    for token in ("a", "b", "c"):
        tokens.add(token, 0, CALLER, time.time() + 60)
    assert [tokens.find(token, 0) for token in ("a", "b", "c")] == [None, CALLER, CALLER]


def test_all_tokens_are_forgotten_when_keys_change() -> None:
    tokens = VerifiedTokens(size=2)
    tokens.add("a", 0, CALLER, time.time() + 60)
    assert tokens.find("a", 0) == CALLER
    assert tokens.find("a", 1) is None
    assert tokens.find("a", 0) is None


def test_tokens_themselves_are_not_kept() -> None:
    tokens = VerifiedTokens(size=2)
    tokens.add("secret", 0, CALLER, time.time() + 60)
    assert "secret" not in str(vars(tokens))
    assert list(tokens._callers) == [cache.digest("secret")]


async def test_handlers_cannot_change_the_claims_of_later_requests(
    make_app: MakeApp, identity_provider: IdentityProvider
) -> None:
    state = make_app().state.oidc
    caller = await state.identify(identity_provider.access_token("me"))
    with pytest.raises(TypeError):
        caller.claims["sub"] = "admin"
