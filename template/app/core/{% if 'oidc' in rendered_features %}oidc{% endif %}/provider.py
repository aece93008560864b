"""What the provider publishes: its metadata and its keys."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from app.core.oidc.settings import OIDCSettings
from app.core.oidc.urls import check_provider_url

MAX_DOCUMENT_BYTES = 512 * 1024

Document = Mapping[str, Any]


class ProviderError(Exception):
    """The provider is unavailable, or what it publishes cannot be used."""


class Provider:
    """Reads the documents of a provider, without redirects and with limits of time and size."""

    def __init__(self, settings: OIDCSettings) -> None:
        self.issuer = settings.issuer
        self.timeout = settings.timeout
        self.scheme = urlsplit(settings.issuer).scheme
        # Here, because it reads certificates from files: requests would wait for that.
        self.tls = httpx2.create_ssl_context() if self.scheme == "https" else False

    async def read(self) -> tuple[Document, Document]:
        """Return the metadata and the key set. Raises ProviderError."""
        async with httpx2.AsyncClient(
            verify=self.tls,
            # _fetch limits the whole response instead of each part.
            timeout=None,
            # A proxy of the environment does not reach this machine.
            trust_env=self.scheme == "https",
        ) as client:
            metadata = await self._fetch(client, metadata_url(self.issuer))
            if metadata.get("issuer") != self.issuer:
                raise ProviderError("the `issuer` of its metadata differs from OIDC_ISSUER")
            return metadata, await self._fetch(client, self.endpoint(metadata, "jwks_uri"))

    def endpoint(self, metadata: Document, name: str) -> str:
        """Return a URL of the metadata. Raises ProviderError if it is missing or not secure."""
        url = str(metadata.get(name))
        try:
            check_provider_url(url)
        except ValueError as error:
            raise ProviderError(f"invalid `{name}` in its metadata: {error}") from None
        if urlsplit(url).scheme != self.scheme:
            reason = f"its scheme is not {self.scheme}, as that of OIDC_ISSUER"
            raise ProviderError(f"invalid `{name}` in its metadata: {reason}")
        return url

    async def _fetch(self, client: httpx2.AsyncClient, url: str) -> Document:
        try:
            async with asyncio.timeout(self.timeout):
                document = json.loads(await download(client, url))
        except TimeoutError:
            raise ProviderError(f"{url}: no response within {self.timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ProviderError(f"{url}: {type(error).__name__} {error}") from error
        except (ValueError, RecursionError):
            raise ProviderError(f"{url}: the response is not JSON") from None
        if not isinstance(document, dict):
            raise ProviderError(f"{url}: the response is not a JSON object")
        return document


def metadata_url(issuer: str) -> str:
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


async def download(client: httpx2.AsyncClient, url: str) -> bytes:
    """Return the body of a response. Raises ProviderError if it is not a 200, or too large."""
    # A compressed body could be small on the wire and huge in memory.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code != 200:
            raise ProviderError(f"{url}: status {response.status_code} instead of 200")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ProviderError(f"{url}: more than {MAX_DOCUMENT_BYTES} bytes")
    return bytes(body)
