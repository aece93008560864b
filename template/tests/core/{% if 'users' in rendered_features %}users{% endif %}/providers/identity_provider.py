"""An OpenID Connect provider on this machine, whose answers tests can break."""

import asyncio
import hmac
import json
import socket
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

CLIENT_ID = "app"
# With characters that have to be encoded.
SECRET = "s%3Acr+et:"  # noqa: S105


class IdentityProvider:
    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.rotate_key()
        self.reset()

    def rotate_key(self) -> None:
        self.key = RSAKey.generate_key(parameters={"use": "sig"}, auto_kid=True)

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
        self.sign: Callable[[dict[str, Any]], str] = self.sign_correctly
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

    def sign_correctly(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def sign_with_public_key(self, claims: dict[str, Any]) -> str:
        return symmetric_token(claims, self.key.as_pem(private=False), kid=self.key.kid)

    def sign_with_client_secret(self, claims: dict[str, Any]) -> str:
        return symmetric_token(claims, SECRET.encode())

    def sign_not_at_all(self, claims: dict[str, Any]) -> str:
        return f"{encode({'alg': 'none'})}.{encode(claims)}."

    def sign_with_foreign_key(self, claims: dict[str, Any]) -> str:
        key = RSAKey.generate_key()
        header = {"alg": "RS256", "kid": self.key.kid, "jwk": key.as_dict(private=False)}
        return jwt.encode(header, claims, key)

    def sign_with_another_algorithm(self, claims: dict[str, Any]) -> str:
        header = {"alg": "PS512", "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=["PS512"])

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.metadata),
                Route("/keys", self.key_set),
                Route("/token", self.token, methods=["POST"]),
                Route("/userinfo", self.show_user_info),
                Route("/moved", self.redirect_to_keys),
                Route("/slow", self.send_slowly),
                Route("/huge", self.send_much),
            ]
        )

    async def metadata(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        time.sleep(self.delay)  # noqa: ASYNC251
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse(document | self.metadata_changes)

    async def key_set(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def redirect_to_keys(self, _request: Request) -> Response:
        return RedirectResponse(f"{self.issuer}/keys")

    async def send_slowly(self, _request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b" "
                await asyncio.sleep(0.05)

        return StreamingResponse(body())

    async def send_much(self, _request: Request) -> Response:
        key_set = KeySet([self.key]).as_dict(private=False)
        return JSONResponse({**key_set, "more": "x" * 1_000_000})

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
        id_token = self.sign(self.id_token_claims(asked["nonce"]))
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
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": self.subject,
            "iat": now,
            "exp": now + 300,
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


def encode(part: dict[str, Any] | bytes) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(data).decode().rstrip("=")


def symmetric_token(claims: dict[str, Any], secret: bytes, **header: Any) -> str:
    """Return a token with a signature that joserfc would refuse to make."""
    signed = f"{encode({'alg': 'HS256'} | header)}.{encode(claims)}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256'))}"


@contextmanager
def run_identity_provider() -> Iterator[IdentityProvider]:
    """Serve a provider in a thread, on any port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        provider = IdentityProvider(listener.getsockname()[1])
        config = uvicorn.Config(
            provider.app(), lifespan="off", log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.should_exit = True
            thread.join()
