"""Rotated keys, and a provider that is slow or down."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.core.oidc import keys
from app.core.oidc.key_set import usable_keys
from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp, bearer
from tests.core.oidc.faulty_provider import KEYS, METADATA, FaultyProvider


async def status(client: httpx2.AsyncClient, token: str) -> int:
    return (await client.get("/caller", headers=bearer(token))).status_code


def unknown_token(provider: FaultyProvider, number: int = 0) -> str:
    header = {"kid": f"unknown {number}"}
    return provider.identity.sign({"exp": 4_000_000_000}, **header)


def end_cooldown(app: FastAPI) -> None:
    app.state.oidc.keys._next_fetch = 0.0


async def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_new_key_is_fetched_when_a_token_is_signed_with_it(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    app = make_app()
    async with connect(app) as client:
        old = faulty_provider.identity.access_token("me")
        assert await status(client, old) == 200
        faulty_provider.identity.rotate_keys()
        new = faulty_provider.identity.access_token("me")
        assert await status(client, new) == 401
        end_cooldown(app)
        assert await status(client, new) == 200
        # The cache does not keep what its key no longer proves.
        assert await status(client, old) == 401
        assert faulty_provider.requests[KEYS] == 2


async def test_a_flood_of_unknown_keys_causes_one_fetch(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    app = make_app()
    async with connect(app) as client:
        assert await status(client, faulty_provider.identity.access_token("me")) == 200
        end_cooldown(app)
        faulty_provider.delay = 0.05
        tokens = [unknown_token(faulty_provider, number) for number in range(50)]
        assert set(await asyncio.gather(*(status(client, token) for token in tokens))) == {401}
        assert {await status(client, token) for token in tokens} == {401}
    assert faulty_provider.requests == {METADATA: 2, KEYS: 2}


async def test_the_cooldown_ends_by_itself(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    async with connect(make_app(refetch_cooldown="0.05")) as client:
        for number in range(3):
            assert await status(client, unknown_token(faulty_provider, number)) == 401
            await asyncio.sleep(0.1)
    assert faulty_provider.requests[KEYS] == 3


async def test_many_first_requests_share_one_fetch(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.delay = 0.05
    token = faulty_provider.identity.access_token("me")
    async with connect(make_app()) as client:
        assert set(await asyncio.gather(*(status(client, token) for _ in range(20)))) == {200}
    assert faulty_provider.requests == {METADATA: 1, KEYS: 1}


async def test_a_cancelled_request_does_not_cancel_the_fetch_of_others(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.delay = 0.1
    token = faulty_provider.identity.access_token("me")
    async with connect(make_app()) as client:
        first = asyncio.create_task(status(client, token))
        others = [asyncio.create_task(status(client, token)) for _ in range(3)]
        await asyncio.sleep(0.05)
        first.cancel()
        assert await asyncio.gather(*others) == [200] * 3


async def test_the_application_starts_without_its_provider_and_recovers(
    make_app: MakeApp, faulty_provider: FaultyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FAILURE_COOLDOWN", 0.1)
    faulty_provider.stop()
    token = faulty_provider.identity.access_token("me")
    app = make_app()
    async with app.state.oidc.keys.kept_current(), connect(app) as client:
        response = await client.get("/caller", headers=bearer(token))
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert response.json()["detail"] == (
            "Access tokens cannot be verified: the provider is unavailable."
        )
        assert (await client.get("/caller")).status_code == 401
        assert (await client.get("/public")).status_code == 200
        faulty_provider.start()
        # Without a request that asks for them.
        await until(lambda: app.state.oidc.keys.keys)
        assert await status(client, token) == 200


async def test_only_the_first_request_waits_for_a_provider_that_does_not_respond(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.delay = 60
    token = faulty_provider.identity.access_token("me")
    async with connect(make_app(timeout="0.5")) as client:
        for waits in (True, False, False):
            start = time.perf_counter()
            assert await status(client, token) == 503
            assert (time.perf_counter() - start > 0.4) is waits
    assert faulty_provider.requests == {METADATA: 1}


async def test_known_keys_survive_an_outage(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    app = make_app(refetch_cooldown="0.05", keys_lifetime="0.05", cache_size=0)
    token = faulty_provider.identity.access_token("me")
    async with app.state.oidc.keys.kept_current(), connect(app) as client:
        assert await status(client, token) == 200
        faulty_provider.stop()
        await until(lambda: not app.state.oidc.keys.is_current)
        assert await status(client, token) == 200
        # It may be signed with a new key.
        assert await status(client, unknown_token(faulty_provider)) == 503
        faulty_provider.start()
        await until(lambda: app.state.oidc.keys.is_current)
        assert await status(client, unknown_token(faulty_provider)) == 401


async def test_a_slow_provider_delays_only_requests_with_unknown_keys(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    app = make_app(cache_size=0)
    token = faulty_provider.identity.access_token("me")
    async with connect(app) as client:
        assert await status(client, token) == 200
        end_cooldown(app)
        faulty_provider.delay = 0.5
        slow = asyncio.create_task(status(client, unknown_token(faulty_provider)))
        delays = []
        while not slow.done():
            start = time.perf_counter()
            assert await status(client, token) == 200
            assert (await client.get("/public")).status_code == 200
            delays.append(time.perf_counter() - start)
            await asyncio.sleep(0.01)
        assert await slow == 401
    assert len(delays) > 5
    assert max(delays) < 0.5


async def test_keys_are_fetched_again_in_the_background(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    app = make_app(keys_lifetime="0.05")
    async with app.state.oidc.keys.kept_current(), connect(app) as client:
        old = faulty_provider.identity.access_token("me")
        await until(lambda: faulty_provider.requests[KEYS] > 2)
        assert await status(client, old) == 200
        faulty_provider.identity.rotate_keys()
        fetched = faulty_provider.requests[KEYS]
        await until(lambda: faulty_provider.requests[KEYS] > fetched + 1)
        assert await status(client, faulty_provider.identity.access_token("me")) == 200
        assert await status(client, old) == 401


async def test_the_application_fetches_the_keys_when_it_starts(
    configured_app: Callable[..., FastAPI], faulty_provider: FaultyProvider
) -> None:
    app = configured_app()
    before = asyncio.all_tasks()
    async with app.router.lifespan_context(app):
        await until(lambda: app.state.oidc.keys.keys)
    assert asyncio.all_tasks() == before
    assert faulty_provider.requests[KEYS] == 1


async def test_no_task_outlives_the_application(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    before = asyncio.all_tasks()
    faulty_provider.delay = 60
    app = make_app()
    async with app.state.oidc.keys.kept_current():
        await until(lambda: faulty_provider.requests[METADATA])
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


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
    make_app: MakeApp, faulty_provider: FaultyProvider, response: Response
) -> None:
    app = make_app(cache_size=0)
    token = faulty_provider.identity.access_token("me")
    async with connect(app) as client:
        assert await status(client, token) == 200
        end_cooldown(app)
        faulty_provider.responses[KEYS] = response
        assert await status(client, unknown_token(faulty_provider)) == 503
        assert await status(client, token) == 200
    assert faulty_provider.requests[KEYS] == 2
    assert faulty_provider.requests["/elsewhere"] == 0


def public(key: Key, **parameters: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": "tested", **parameters}


RSA = RSAKey.generate_key(2048)
ELLIPTIC = ECKey.generate_key("P-256")
SHORT = {"kty": "RSA", "e": "AQAB", "n": "w7Zdfmece8iaB0kiTY8pCtiBtzbptJmP28nSWwtdjRu0f2GFpajvWE4V"}


@pytest.mark.parametrize(
    "data",
    [
        OctKey.generate_key(256).as_dict(kid="tested"),
        RSA.as_dict(private=True, kid="tested"),
        public(RSA, use="enc"),
        public(RSA, alg="RSA-OAEP"),
        public(RSA, alg="RS512"),
        public(RSA, key_ops=["encrypt"]),
        public(RSA, key_ops=7),
        public(RSA, n="x"),
        public(RSA, n=7),
        public(RSA, e=""),
        public(ECKey.generate_key("P-384")),
        public(OKPKey.generate_key("X25519")),
        public(OKPKey.generate_key("Ed25519")),
        public(ELLIPTIC, x="AAAA"),
        public(ELLIPTIC, crv="P-257"),
        SHORT,
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x", "kid": "tested"},
        {"kty": ["RSA"]},
        {"kty": None},
        {"kid": "tested"},
        {},
        "key",
        None,
        ["kty"],
    ],
)
def test_keys_that_verify_no_accepted_signature_are_ignored(data: Any) -> None:
    good = public(RSA, kid="good")
    found = usable_keys({"keys": [data, good]}, ["RS256", "ES256"])
    assert [key.kid for key in found] == ["good"]


async def test_a_symmetric_key_in_the_key_set_verifies_nothing(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    secret = OctKey.generate_key(256, parameters={"kid": "secret"})
    good = faulty_provider.identity.key.as_dict(private=False)
    faulty_provider.responses[KEYS] = JSONResponse({"keys": [secret.as_dict(), good]})
    claims = {"iss": faulty_provider.identity.issuer, "aud": "api", "sub": "x", "exp": 2**32}
    async with connect(make_app()) as client:
        token = jwt.encode({"alg": "HS256", "kid": "secret"}, claims, secret)
        assert await status(client, token) == 401
        assert await status(client, faulty_provider.identity.access_token("me")) == 200


async def test_keys_of_one_id_but_different_kinds_are_told_apart(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    rsa, elliptic = public(RSA, kid="same"), public(ELLIPTIC, kid="same")
    faulty_provider.responses[KEYS] = JSONResponse({"keys": [rsa, elliptic]})
    claims = {"iss": faulty_provider.identity.issuer, "aud": "api", "sub": "x", "exp": 2**32}
    async with connect(make_app()) as client:
        for algorithm, key in (("RS256", RSA), ("ES256", ELLIPTIC)):
            token = jwt.encode({"alg": algorithm, "kid": "same"}, claims, key)
            assert await status(client, token) == 200


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
    make_app: MakeApp, faulty_provider: FaultyProvider, algorithm: str, key: Key
) -> None:
    data = key.as_dict(private=False, kid="other", alg=algorithm)
    faulty_provider.responses[KEYS] = JSONResponse({"keys": [data]})
    claims = {"iss": faulty_provider.identity.issuer, "aud": "api", "sub": "x", "exp": 2**32}
    header = {"alg": algorithm, "kid": "other"}
    token = jwt.encode(header, claims, key, algorithms=[algorithm])
    for accepted, expected in ((algorithm, 200), ("RS256", 401)):
        async with connect(make_app(algorithms=accepted)) as client:
            assert await status(client, token) == expected


async def test_a_token_without_a_key_id_is_rejected_if_there_are_several_keys(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    found = [public(RSA, kid="a"), public(RSA, kid="b")]
    faulty_provider.responses[KEYS] = JSONResponse({"keys": found})
    claims = {"iss": faulty_provider.identity.issuer, "aud": "api", "sub": "x", "exp": 2**32}
    async with connect(make_app()) as client:
        assert await status(client, jwt.encode({"alg": "RS256"}, claims, RSA)) == 401
        token = jwt.encode({"alg": "RS256", "kid": "b"}, claims, RSA)
        assert await status(client, token) == 200
