"""The proof by a provider of who a user is, which the same browser starts and finishes.

A page of the web application sends the browser to the provider, which returns it to another page
of the web application; that sends code and state to the API, as pages of links in mails do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from app.core.auth.audit import audit
from app.core.auth.errors import UnauthorizedError
from app.core.database import Session, StoredRow
from app.core.errors import UnavailableError
from app.core.openid.provider import ProviderError
from app.core.openid.signed_tokens import TokenError
from app.core.users.providers.claims import ProvenIdentity
from app.core.users.providers.client import LoginProvider
from app.core.users.providers.id_tokens import CLOCK_SKEW
from app.core.users.providers.identities import is_linked
from app.core.users.providers.secrets import LoginSecrets
from app.core.users.providers.started_logins import StartedLogins, store_login
from app.core.users.providers.token_endpoint import CodeRejectedError

# Of a provider that does not say when its user logged in: never recent.
LONG_AGO = datetime.fromtimestamp(0, UTC)

logger = structlog.get_logger("app.users")


class ProviderLoginError(UnauthorizedError):
    """The provider has not proved who the user is."""

    def __init__(self, detail: str = "The provider has not confirmed the login.") -> None:
        super().__init__(f"{detail} Start the login again.")


@dataclass(frozen=True)
class Callback:
    """What the provider has sent with the browser."""

    state: str = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None
    issuer: str | None


class ProviderProof:
    def __init__(self, provider: LoginProvider) -> None:
        self.provider = provider

    async def start(
        self,
        session: Session,
        cookie: str,
        return_to: str | None,
        *,
        session_id: UUID | None = None,
        is_renewal: bool = False,
    ) -> str:
        """Return where the browser goes; `session_id` links an identity instead of logging in.

        Raises UnavailableError if the provider is down.
        """
        secrets = LoginSecrets(cookie)
        async with self._errors():
            url = await self.provider.authorization_url(secrets, is_renewal=is_renewal)
        await store_login(
            session,
            secrets,
            self.provider.name,
            session_id=session_id,
            return_to=return_to,
            is_renewal=is_renewal,
        )
        return url

    async def finish(
        self, logins: StartedLogins, cookie: str, callback: Callback
    ) -> tuple[ProvenIdentity, StoredRow]:
        """Return who the user is, and the login that the browser had started.

        Raises LoginNotStartedError, ProviderLoginError, CodeRejectedError and UnavailableError.
        """
        secrets = LoginSecrets(cookie, callback.state)
        started = await logins.use(secrets, self.provider.name)
        async with self._errors():
            code = await self._read_code(callback)
            proven = await self.provider.redeem(code, secrets, partial(is_linked, logins.sessions))
            check_renewal(proven, started)
        return proven, started

    async def _read_code(self, callback: Callback) -> str:
        """Return the code, which may be sent to this provider only."""
        name = self.provider.name
        if not await self.provider.is_response_issuer(callback.issuer):
            audit("provider login failed", provider=name, reason="response of another provider")
            raise ProviderLoginError
        if callback.code is None:
            audit("provider login failed", provider=name, reason=callback.error)
            raise ProviderLoginError("The provider has ended the login.")
        return callback.code

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        name = self.provider.name
        try:
            yield
        except CodeRejectedError:
            audit("provider login failed", provider=name, reason="code rejected")
            raise
        except TokenError as error:
            audit("provider login failed", provider=name, reason=f"ID token {error}")
            raise ProviderLoginError from None
        except ProviderError as error:
            logger.warning("provider failed", provider=name, reason=str(error))
            raise UnavailableError("The provider is unavailable; start the login again.") from None


def check_renewal(proven: ProvenIdentity, started: StoredRow) -> None:
    """Raise TokenError if a user who has to log in again has not done so."""
    earliest = started.created_at - timedelta(seconds=CLOCK_SKEW)
    if started.is_renewal and (proven.authenticated_at or LONG_AGO) < earliest:
        raise TokenError("does not show that the user has logged in again")
