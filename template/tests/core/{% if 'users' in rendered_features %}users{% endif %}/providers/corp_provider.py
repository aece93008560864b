"""The provider of users, whose responses tests can break."""

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.core.openid.forged_tokens import encode, symmetric_token, unsigned_token
from tools.identity_provider import IdentityProvider

CLIENT_ID = "app"
# With characters that have to be encoded.
SECRET = "s%3Acr+et:"  # noqa: S105


class CorpProvider(IdentityProvider):
    def __init__(self, issuer: str) -> None:
        super().__init__(issuer)
        self.reset()

    def reset(self) -> None:
        """Answer as a correct provider does."""
        # What the codes were issued for.
        self.codes: dict[str, dict[str, str]] = {}
        self.user: dict[str, Any] = {"email": "ada@example.com", "email_verified": True}
        self.subject = "ada"
        self.auth_time: int | None = int(time.time())
        # Claims that only the user info has.
        self.user_info: dict[str, Any] = {}
        self.metadata_changes: dict[str, Any] = {}
        self.claim_changes: dict[str, Any] = {}
        self.sign_id_token: Callable[[dict[str, Any]], str] = self.sign
        self.checks_pkce = True
        self.delay = 0.0
        self.token_status = 200
        self.requests: list[str] = []

    def authorize(self, url: str, **response: str | None) -> dict[str, str]:
        """Log the user in at a URL, and return the parameters for the page of the application."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = token_urlsafe()
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.issuer} | response
        return {name: value for name, value in answer.items() if value is not None}

    def sign_with_public_key(self, claims: dict[str, Any]) -> str:
        return symmetric_token(claims, self.key.as_pem(private=False), kid=self.key.kid)

    def sign_with_client_secret(self, claims: dict[str, Any]) -> str:
        return symmetric_token(claims, SECRET.encode())

    def sign_not_at_all(self, claims: dict[str, Any]) -> str:
        return unsigned_token({"alg": "none"}, claims) + "."

    def sign_with_foreign_key(self, claims: dict[str, Any]) -> str:
        key = RSAKey.generate_key()
        header = {"alg": "RS256", "kid": self.key.kid, "jwk": key.as_dict(private=False)}
        return jwt.encode(header, claims, key)

    def sign_with_another_algorithm(self, claims: dict[str, Any]) -> str:
        # Without the `alg` of the key.
        key = RSAKey.import_key(self.key.as_pem(private=True))
        header = {"alg": "PS512", "kid": self.key.kid}
        return jwt.encode(header, claims, key, algorithms=["PS512"])

    def routes(self) -> list[Route]:
        return [
            *super().routes(),
            Route("/token", self.token, methods=["POST"]),
            Route("/userinfo", self.show_user_info),
            Route("/moved", self.redirect_to_keys),
            Route("/slow", self.send_slowly),
            Route("/huge", self.send_much),
        ]

    def metadata(self) -> dict[str, Any]:
        return {
            **super().metadata(),
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "authorization_response_iss_parameter_supported": True,
            **self.metadata_changes,
        }

    async def show_metadata(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        await asyncio.sleep(self.delay)
        return await super().show_metadata(request)

    async def show_keys(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        return await super().show_keys(request)

    async def redirect_to_keys(self, _request: Request) -> Response:
        return RedirectResponse(f"{self.issuer}/keys")

    async def send_slowly(self, _request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b" "
                await asyncio.sleep(0.05)

        return StreamingResponse(body())

    async def send_much(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)], "more": "x" * 1_000_000})

    async def token(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        form = dict(parse_qsl((await request.body()).decode()))
        if self.token_status != 200:
            return JSONResponse({"error": "server_error"}, self.token_status)
        if not self.knows_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self.codes.pop(form["code"], None)
        digest = sha256(form["code_verifier"].encode()).digest()
        is_proved = not self.checks_pkce or (asked or {}).get("code_challenge") == encode(digest)
        if asked is None or not is_proved or asked["redirect_uri"] != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        id_token = self.sign_id_token(self.id_token_claims(asked["nonce"]))
        answer = {"id_token": id_token, "access_token": "of ada", "token_type": "Bearer"}
        return JSONResponse(answer)

    def knows_client(self, request: Request, form: dict[str, str]) -> bool:
        """Return whether the client has authenticated by one of the announced methods."""
        if "token_endpoint_auth_methods_supported" in self.metadata_changes:
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, SECRET)
        authorization = request.headers.get("Authorization", "")
        decoded = b64decode(authorization.removeprefix("Basic ")).decode()
        return [unquote_plus(part) for part in decoded.split(":")] == [CLIENT_ID, SECRET]

    def id_token_claims(self, nonce: str) -> dict[str, Any]:
        claims = {
            **self.claims(self.subject, CLIENT_ID),
            "nonce": nonce,
            "auth_time": self.auth_time,
            **self.user,
            **self.claim_changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    async def show_user_info(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        if request.headers.get("Authorization") != "Bearer of ada":
            return Response(status_code=401)
        return JSONResponse({"sub": self.subject} | self.user_info)
