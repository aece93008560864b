"""Rotated keys, and a provider that is slow or down."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey
from starlette.responses import JSONResponse, PlainTextResponse, Response
from structlog.testing import capture_logs

from app.core.openid import keys
from app.core.openid.keys import ProviderKeys
from app.core.openid.provider import ProviderError
from tests.core.openid.conftest import (
    ACCEPTED,
    UNAVAILABLE,
    UNKNOWN_KEY,
    MakeVerifier,
    result,
)
from tests.core.openid.faulty_provider import KEYS, METADATA, FaultyProvider
from tests.core.openid.forged_tokens import symmetric_token
from tests.core.openid.test_key_set import ELLIPTIC, RSA, public

CLAIMS = {"sub": "me"}


def unknown_token(provider: FaultyProvider, number: int = 0) -> str:
    return provider.identity.sign(CLAIMS, kid=f"unknown {number}")


def end_cooldown(found: ProviderKeys) -> None:
    found._next_fetch = 0.0


async def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_new_key_is_fetched_when_a_token_is_signed_with_it(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    verifier = make_verifier()
    old = faulty_provider.identity.access_token("me")
    assert await result(verifier, old) == ACCEPTED
    version = verifier.keys.version
    faulty_provider.identity.rotate_keys()
    new = faulty_provider.identity.access_token("me")
    assert await result(verifier, new) == UNKNOWN_KEY
    assert verifier.keys.version == version
    end_cooldown(verifier.keys)
    assert await result(verifier, new) == ACCEPTED
    assert verifier.keys.version == version + 1
    assert await result(verifier, old) == UNKNOWN_KEY
    assert faulty_provider.requests[KEYS] == 2


async def test_a_flood_of_unknown_keys_causes_one_fetch(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    verifier = make_verifier()
    assert await result(verifier, faulty_provider.identity.access_token("me")) == ACCEPTED
    end_cooldown(verifier.keys)
    faulty_provider.delay = 0.05
    tokens = [unknown_token(faulty_provider, number) for number in range(50)]
    found = await asyncio.gather(*(result(verifier, token) for token in tokens))
    assert {*found} == {UNKNOWN_KEY}
    assert {await result(verifier, token) for token in tokens} == {UNKNOWN_KEY}
    assert faulty_provider.requests == {METADATA: 2, KEYS: 2}


async def test_the_cooldown_ends_by_itself(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    verifier = make_verifier(refetch_cooldown=0.05)
    for number in range(3):
        assert await result(verifier, unknown_token(faulty_provider, number)) == UNKNOWN_KEY
        await asyncio.sleep(0.1)
    assert faulty_provider.requests[KEYS] == 3


async def test_fetched_keys_that_are_the_same_have_the_same_version(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    found = make_verifier().keys
    for _ in range(2):
        await found.refresh()
        assert found.version == 1
    assert faulty_provider.requests[KEYS] == 2


async def test_many_first_requests_share_one_fetch(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.delay = 0.05
    token = faulty_provider.identity.access_token("me")
    verifier = make_verifier()
    assert {*await asyncio.gather(*(result(verifier, token) for _ in range(20)))} == {ACCEPTED}
    assert faulty_provider.requests == {METADATA: 1, KEYS: 1}


async def test_a_cancelled_request_does_not_cancel_the_fetch_of_others(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.delay = 0.1
    token = faulty_provider.identity.access_token("me")
    verifier = make_verifier()
    first = asyncio.create_task(result(verifier, token))
    others = [asyncio.create_task(result(verifier, token)) for _ in range(3)]
    await asyncio.sleep(0.05)
    first.cancel()
    assert await asyncio.gather(*others) == [ACCEPTED] * 3


async def test_without_keys_fetches_are_repeated_until_one_succeeds(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FAILURE_COOLDOWN", 0.1)
    faulty_provider.stop()
    token = faulty_provider.identity.access_token("me")
    verifier = make_verifier()
    async with verifier.keys.kept_current(3600):
        assert await result(verifier, token) == UNAVAILABLE
        faulty_provider.start()
        # Without a token that asks for them.
        await until(lambda: verifier.keys.keys)
        assert await result(verifier, token) == ACCEPTED


async def test_only_the_first_request_waits_for_a_provider_that_does_not_respond(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.delay = 60
    token = faulty_provider.identity.access_token("me")
    verifier = make_verifier(timeout=0.1)
    for _ in range(3):
        assert await result(verifier, token) == UNAVAILABLE
    assert faulty_provider.requests == {METADATA: 1}


async def test_known_keys_survive_an_outage(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    verifier = make_verifier(refetch_cooldown=0.05)
    token = faulty_provider.identity.access_token("me")
    async with verifier.keys.kept_current(0.05):
        assert await result(verifier, token) == ACCEPTED
        faulty_provider.stop()
        await until(lambda: not verifier.keys.is_current)
        assert await result(verifier, token) == ACCEPTED
        # It may be signed with a new key.
        assert await result(verifier, unknown_token(faulty_provider)) == UNAVAILABLE
        faulty_provider.start()
        await until(lambda: verifier.keys.is_current)
        assert await result(verifier, unknown_token(faulty_provider)) == UNKNOWN_KEY


async def test_a_slow_provider_delays_only_tokens_with_unknown_keys(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    verifier = make_verifier()
    token = faulty_provider.identity.access_token("me")
    assert await result(verifier, token) == ACCEPTED
    end_cooldown(verifier.keys)
    faulty_provider.delay = 0.5
    slow = asyncio.create_task(result(verifier, unknown_token(faulty_provider)))
    verified = 0
    while not slow.done():
        assert await result(verifier, token) == ACCEPTED
        verified += 1
        await asyncio.sleep(0.01)
    assert await slow == UNKNOWN_KEY
    assert verified > 5


async def test_keys_are_fetched_again_in_the_background(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    verifier = make_verifier()
    async with verifier.keys.kept_current(0.05):
        old = faulty_provider.identity.access_token("me")
        await until(lambda: faulty_provider.requests[KEYS] > 2)
        assert await result(verifier, old) == ACCEPTED
        faulty_provider.identity.rotate_keys()
        fetched = faulty_provider.requests[KEYS]
        await until(lambda: faulty_provider.requests[KEYS] > fetched + 1)
        assert await result(verifier, faulty_provider.identity.access_token("me")) == ACCEPTED
        assert await result(verifier, old) == UNKNOWN_KEY


async def test_no_task_outlives_the_application(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    before = asyncio.all_tasks()
    faulty_provider.delay = 60
    async with make_verifier().keys.kept_current(3600):
        await until(lambda: faulty_provider.requests[METADATA])
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


async def test_a_failed_fetch_is_logged_with_the_issuer_and_the_reason(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.responses[KEYS] = JSONResponse({"keys": []})
    with capture_logs() as lines:
        await make_verifier("PS256").keys.refresh()
    assert lines == [
        {
            "event": "the provider's keys could not be fetched",
            "log_level": "warning",
            "issuer": faulty_provider.identity.issuer,
            "reason": "its key set has no key for PS256",
        }
    ]


async def test_metadata_are_fetched_again_when_they_are_too_old(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    found = make_verifier().keys
    for max_age, requests in ((None, 1), (None, 1), (3600, 1), (0, 2), (0, 2)):
        if requests == faulty_provider.requests[METADATA] + 1:
            end_cooldown(found)
        ages = {} if max_age is None else {"max_age": max_age}
        metadata = await found.find_metadata(**ages)
        assert metadata["issuer"] == faulty_provider.identity.issuer
        assert faulty_provider.requests[METADATA] == requests


async def test_known_metadata_survive_an_outage(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    found = make_verifier(refetch_cooldown=0).keys
    known = await found.find_metadata()
    faulty_provider.stop()
    assert await found.find_metadata(max_age=0) == known
    assert not found.is_current


async def test_without_metadata_there_is_an_error(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.stop()
    with pytest.raises(ProviderError, match=r"^the provider is unavailable$"):
        await make_verifier().keys.find_metadata()


@pytest.mark.parametrize(
    "response",
    [
        JSONResponse({"keys": []}),
        JSONResponse({"keys": "none"}),
        JSONResponse({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "unknown"}]}),
        JSONResponse([]),
        JSONResponse({}),
        PlainTextResponse("<html>"),
        PlainTextResponse("[" * 100_000),
        PlainTextResponse("x" * 600_000),
        Response(status_code=500),
        Response(status_code=302, headers={"Location": "/elsewhere"}),
    ],
)
async def test_unusable_key_sets_do_not_replace_good_keys(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider, response: Response
) -> None:
    verifier = make_verifier()
    token = faulty_provider.identity.access_token("me")
    assert await result(verifier, token) == ACCEPTED
    end_cooldown(verifier.keys)
    faulty_provider.responses[KEYS] = response
    assert await result(verifier, unknown_token(faulty_provider)) == UNAVAILABLE
    assert await result(verifier, token) == ACCEPTED
    assert faulty_provider.requests[KEYS] == 2
    assert faulty_provider.requests["/elsewhere"] == 0


async def test_a_symmetric_key_in_the_key_set_verifies_nothing(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    secret = OctKey.generate_key(256, parameters={"kid": "secret"})
    good = faulty_provider.identity.key.as_dict(private=False)
    faulty_provider.responses[KEYS] = JSONResponse({"keys": [secret.as_dict(), good]})
    verifier = make_verifier()
    token = symmetric_token(CLAIMS, secret.raw_value, kid="secret")
    assert (await result(verifier, token)).startswith("is not signed with an accepted algorithm")
    assert await verifier.keys.find("secret", "HS256") is None
    assert await result(verifier, faulty_provider.identity.access_token("me")) == ACCEPTED


async def test_keys_of_one_id_but_different_kinds_are_told_apart(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    rsa, elliptic = public(RSA, kid="same"), public(ELLIPTIC, kid="same")
    faulty_provider.responses[KEYS] = JSONResponse({"keys": [rsa, elliptic]})
    verifier = make_verifier()
    for algorithm, key in (("RS256", RSA), ("ES256", ELLIPTIC)):
        token = jwt.encode({"alg": algorithm, "kid": "same"}, CLAIMS, key)
        assert await result(verifier, token) == ACCEPTED


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("PS256", RSA),
        ("RS512", RSA),
        ("ES384", ECKey.generate_key("P-384")),
        ("ES512", ECKey.generate_key("P-521")),
        ("Ed25519", OKPKey.generate_key("Ed25519")),
        ("EdDSA", OKPKey.generate_key("Ed25519")),
    ],
)
async def test_other_asymmetric_algorithms_can_be_accepted(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider, algorithm: str, key: Key
) -> None:
    data = key.as_dict(private=False, kid="other", alg=algorithm)
    faulty_provider.responses[KEYS] = JSONResponse({"keys": [data]})
    header = {"alg": algorithm, "kid": "other"}
    token = jwt.encode(header, CLAIMS, key, algorithms=[algorithm])
    assert await result(make_verifier(algorithm), token) == ACCEPTED
    reason = "is not signed with an accepted algorithm: RS256"
    assert await result(make_verifier("RS256"), token) == reason


async def test_a_token_without_a_key_id_is_rejected_if_there_are_several_keys(
    make_verifier: MakeVerifier, faulty_provider: FaultyProvider
) -> None:
    found = [public(RSA, kid="a"), public(RSA, kid="b")]
    faulty_provider.responses[KEYS] = JSONResponse({"keys": found})
    verifier = make_verifier()
    assert await result(verifier, jwt.encode({"alg": "RS256"}, CLAIMS, RSA)) == UNKNOWN_KEY
    token = jwt.encode({"alg": "RS256", "kid": "b"}, CLAIMS, RSA)
    assert await result(verifier, token) == ACCEPTED
