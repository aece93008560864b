"""Requests to a provider: without redirects, and with limits of time and size."""

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Any

import httpx2

from app.core.openid.urls import check_provider_url

MAX_DOCUMENT_BYTES = 512 * 1024

Document = Mapping[str, Any]


class ProviderError(Exception):
    """The provider is unavailable, or what it publishes cannot be used."""


class Provider:
    """Reads what a provider publishes, and sends other requests to it."""

    def __init__(self, issuer: str, timeout: float) -> None:
        self.issuer = issuer
        self.timeout = timeout
        self.is_local = issuer.lower().startswith("http:")
        # Here, because it reads certificates from files: requests would wait for that.
        self.tls = False if self.is_local else httpx2.create_ssl_context()

    async def read(self) -> tuple[Document, Document]:
        """Return the metadata and the key set. Raises ProviderError."""
        _, metadata = await self.request("GET", metadata_url(self.issuer))
        if metadata.get("issuer") != self.issuer:
            raise ProviderError("the `issuer` of its metadata differs from the one in the settings")
        _, keys = await self.request("GET", self.endpoint(metadata, "jwks_uri"))
        return metadata, keys

    def endpoint(self, metadata: Document, name: str) -> str:
        """Return a URL of the metadata. Raises ProviderError if it is missing or not secure."""
        url = metadata.get(name)
        try:
            check_provider_url(str(url))
        except ValueError as error:
            raise ProviderError(f"invalid `{name}` in its metadata: {error}") from None
        if not self.is_local and not str(url).lower().startswith("https:"):
            raise ProviderError(f"`{name}` of its metadata must be https, as the issuer is")
        return str(url)

    async def request(
        self, method: str, url: str, *, accepted: Collection[int] = (200,), **options: Any
    ) -> tuple[int, Document]:
        """Return the status and the JSON object of a response.

        Raises ProviderError for other statuses than the accepted ones, and for other content.
        """
        try:
            # A proxy of the environment does not reach this machine.
            async with (
                asyncio.timeout(self.timeout),
                httpx2.AsyncClient(
                    verify=self.tls, timeout=self.timeout, trust_env=not self.is_local
                ) as client,
            ):
                status, body = await download(client, method, url, accepted, **options)
        except TimeoutError:
            raise ProviderError(f"{url}: no response within {self.timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ProviderError(f"{url}: {type(error).__name__} {error}") from error
        return status, read_object(url, body)


def read_object(url: str, body: bytes) -> Document:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ProviderError(f"{url}: the response is not JSON") from None
    if not isinstance(document, dict):
        raise ProviderError(f"{url}: the response is not a JSON object")
    return document


def metadata_url(issuer: str) -> str:
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


async def download(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    accepted: Collection[int],
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> tuple[int, bytes]:
    """Return the status and the body of a response. Raises ProviderError if it is too large."""
    # A compressed body could be small on the wire and huge in memory.
    common = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream(method, url, headers=common | dict(headers or {}), **options) as got:
        if got.status_code not in accepted:
            raise ProviderError(f"{url}: unexpected status {got.status_code}")
        body = bytearray()
        async for chunk in got.aiter_raw():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ProviderError(f"{url}: more than {MAX_DOCUMENT_BYTES} bytes")
    return got.status_code, bytes(body)
