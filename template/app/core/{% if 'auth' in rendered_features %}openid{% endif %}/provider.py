"""Requests to a provider: without redirects, and with limits of time and size."""

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from app.core.openid.urls import check_provider_url

MAX_DOCUMENT_BYTES = 512 * 1024

Document = Mapping[str, Any]


class ProviderError(Exception):
    """The provider is unavailable, or what it publishes cannot be used."""


class Provider:
    """Reads what a provider publishes, and sends other requests to it."""

    def __init__(self, issuer: str, timeout: float, *, issuer_variable: str) -> None:
        self.issuer = issuer
        self.timeout = timeout
        self.issuer_variable = issuer_variable
        """The environment variable of the issuer, for messages."""
        self.scheme = urlsplit(issuer).scheme
        # Here, because it reads certificates from files: requests would wait for that.
        self.tls = httpx2.create_ssl_context() if self.scheme == "https" else False

    async def read(self) -> tuple[Document, Document]:
        """Return the metadata and the key set. Raises ProviderError."""
        metadata = await self.get(metadata_url(self.issuer))
        if metadata.get("issuer") != self.issuer:
            raise ProviderError(f"the `issuer` of its metadata differs from {self.issuer_variable}")
        return metadata, await self.get(self.endpoint(metadata, "jwks_uri"))

    def endpoint(self, metadata: Document, name: str) -> str:
        """Return a URL of the metadata. Raises ProviderError if it is missing or not secure."""
        url = str(metadata.get(name))
        try:
            check_provider_url(url)
        except ValueError as error:
            raise ProviderError(f"invalid `{name}` in its metadata: {error}") from None
        if urlsplit(url).scheme != self.scheme:
            reason = f"its scheme is not {self.scheme}, as that of {self.issuer_variable}"
            raise ProviderError(f"invalid `{name}` in its metadata: {reason}")
        return url

    async def get(self, url: str, **options: Any) -> Document:
        """Return the JSON object of a response. Raises ProviderError."""
        _, document = await self._request("GET", url, [200], **options)
        return document

    async def post(
        self, url: str, accepted: Collection[int], **options: Any
    ) -> tuple[int, Document]:
        """Return the status, one of the accepted ones, and the JSON object of a response.

        Raises ProviderError.
        """
        return await self._request("POST", url, accepted, **options)

    async def _request(
        self, method: str, url: str, accepted: Collection[int], **options: Any
    ) -> tuple[int, Document]:
        client = httpx2.AsyncClient(
            verify=self.tls,
            # Limits each part of a response; asyncio.timeout limits the whole one.
            timeout=None,
            # A proxy of the environment does not reach this machine.
            trust_env=self.scheme == "https",
        )
        try:
            async with asyncio.timeout(self.timeout), client:
                status, body = await download(client, method, url, accepted, **options)
        except TimeoutError:
            raise ProviderError(f"{url}: no response within {self.timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ProviderError(f"{url}: {type(error).__name__} {error}") from error
        return status, read_object(url, body)


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
    """Return the status and the body of a response.

    Raises ProviderError for other statuses than the accepted ones, and for too large a body.
    """
    # A compressed body could be small on the wire and huge in memory.
    common = {"Accept": "application/json", "Accept-Encoding": "identity"}
    sent = common | dict(headers or {})
    async with client.stream(method, url, headers=sent, **options) as response:
        status = response.status_code
        if status not in accepted:
            expected = ", ".join(map(str, accepted))
            raise ProviderError(f"{url}: status {status} instead of {expected}")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ProviderError(f"{url}: more than {MAX_DOCUMENT_BYTES} bytes")
    return status, bytes(body)


def read_object(url: str, body: bytes) -> Document:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ProviderError(f"{url}: the response is not JSON") from None
    if not isinstance(document, dict):
        raise ProviderError(f"{url}: the response is not a JSON object")
    return document
