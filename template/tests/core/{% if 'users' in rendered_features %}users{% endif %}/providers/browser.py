"""A browser that logs in with a provider, as the pages of a web application make it."""

from typing import Any

import httpx2

from tests.core.users.providers.corp_provider import CorpProvider

PROVIDERS = "/api/v1/auth/providers"
IDENTITIES = "/api/v1/auth/identities"


class Browser:
    """Keeps cookies, and has no bearer token."""

    def __init__(self, client: httpx2.AsyncClient, provider: CorpProvider) -> None:
        self.client = client
        self.provider = provider

    async def start(self, name: str = "corp", **data: Any) -> str:
        """Return the URL of the provider to which a login leads."""
        response = await self.client.post(f"{PROVIDERS}/{name}/login", json=data)
        assert response.status_code == 200, response.text
        return str(response.json()["authorization_url"])

    async def start_link(self, **data: Any) -> httpx2.Response:
        body = {"provider": "corp"} | data
        return await self.client.post(IDENTITIES, json=body)

    async def send(
        self, parameters: dict[str, str], name: str = "corp", operation: str = "callback"
    ) -> httpx2.Response:
        """Send what the provider has added to the URL of the web application."""
        return await self.client.post(f"{PROVIDERS}/{name}/{operation}", json=parameters)

    async def log_in(self, **data: Any) -> httpx2.Response:
        return await self.send(self.provider.authorize(await self.start(**data)))

    async def link(self) -> httpx2.Response:
        started = await self.start_link()
        assert started.status_code == 200, started.text
        return await self.send(self.provider.authorize(started.json()["authorization_url"]))

    async def me(self) -> dict[str, Any]:
        response = await self.client.get("/api/v1/auth/me")
        assert response.status_code == 200, response.text
        account: dict[str, Any] = response.json()
        return account

    async def identities(self) -> list[dict[str, Any]]:
        response = await self.client.get(IDENTITIES)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()
        return found
