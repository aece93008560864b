"""Logins with providers, and identities that are linked in the same way.

A page of the web application sends the browser to the provider, which returns it to another page
of the web application; that sends code and state to the API, as pages of links in mails do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from app.core.auth.audit import audit
from app.core.auth.errors import UnauthorizedError
from app.core.database import Session, SessionFactory, StoredRow
from app.core.errors import UnavailableError
from app.core.openid.provider import ProviderError
from app.core.openid.signed_tokens import TokenError
from app.core.users.accounts import lock_account
from app.core.users.id_tokens import CLOCK_SKEW
from app.core.users.identities import add_identity, find_identity
from app.core.users.login import complete_login
from app.core.users.models import UserSession
from app.core.users.password_login import LoginResult
from app.core.users.provider_accounts import NotAllowedError, find_or_create_account
from app.core.users.provider_claims import ProvenIdentity
from app.core.users.provider_client import LoginProvider
from app.core.users.provider_secrets import LoginSecrets
from app.core.users.second_factors import second_factors, start_second_step
from app.core.users.sessions import Device
from app.core.users.started_logins import LoginNotStartedError, store_login, use_login

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

    state: str
    code: str | None
    error: str | None
    issuer: str | None


@dataclass(frozen=True)
class ProviderLoginResult(LoginResult):
    return_to: str | None = None
    is_linked: bool = False


class ProviderLogin:
    def __init__(self, session: Session, provider: LoginProvider) -> None:
        self.session = session
        self.provider = provider

    async def start(
        self,
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
        async with self._provider_errors():
            url = await self.provider.authorization_url(secrets, is_renewal=is_renewal)
        await store_login(
            self.session,
            secrets,
            self.provider.name,
            session_id=session_id,
            return_to=return_to,
            is_renewal=is_renewal,
        )
        return url

    async def finish(
        self,
        sessions: SessionFactory,
        cookie: str,
        callback: Callback,
        device: Device,
        replaces: str | None = None,
    ) -> ProviderLoginResult:
        """Log in, or link an identity, as the login with this state was started for.

        Raises LoginNotStartedError, ProviderLoginError, UnavailableError, and what
        `find_or_create_account` and `link` raise.
        """
        secrets = LoginSecrets(cookie, callback.state)
        started = await use_login(sessions, secrets, self.provider.name)
        async with self._provider_errors():
            proven = await self._prove(callback, secrets, started)
        if started.session_id:
            await self._link(proven, started.session_id)
            return ProviderLoginResult(return_to=started.return_to, is_linked=True)
        return await self._log_in(proven, device, replaces, started.return_to)

    async def _prove(
        self, callback: Callback, secrets: LoginSecrets, started: StoredRow
    ) -> ProvenIdentity:
        await self.provider.check_issuer(callback.issuer)
        if callback.code is None:
            audit("provider login failed", provider=self.provider.name, error=callback.error)
            raise ProviderLoginError("The provider has ended the login.")
        proven = await self.provider.redeem(callback.code, secrets)
        earliest = started.created_at - timedelta(seconds=CLOCK_SKEW)
        if started.is_renewal and (proven.authenticated_at or LONG_AGO) < earliest:
            raise TokenError("does not show that the user has logged in again")
        return proven

    @asynccontextmanager
    async def _provider_errors(self) -> AsyncIterator[None]:
        try:
            yield
        except TokenError as error:
            audit("provider login failed", provider=self.provider.name, reason=f"ID token {error}")
            raise ProviderLoginError from None
        except ProviderError as error:
            logger.warning("provider failed", provider=self.provider.name, reason=str(error))
            raise UnavailableError("The provider is unavailable; start the login again.") from None

    async def _log_in(
        self, proven: ProvenIdentity, device: Device, replaces: str | None, return_to: str | None
    ) -> ProviderLoginResult:
        account = await find_or_create_account(self.session, proven, self.provider.label)
        factors = await second_factors(self.session, account)
        if factors and not proven.has_second_factor:
            challenge = await start_second_step(self.session, account, ["provider"])
            return ProviderLoginResult(None, challenge, factors, return_to)
        token = await complete_login(
            self.session,
            account,
            device,
            methods=login_methods(proven),
            replaces=replaces,
            authenticated_at=proven.authenticated_at or LONG_AGO,
        )
        return ProviderLoginResult(token, return_to=return_to)

    async def _link(self, proven: ProvenIdentity, session_id: UUID) -> None:
        """Link an identity to the account of a session. One that has an account is a 409."""
        user_session = await self.session.get(UserSession, session_id)
        user_id = user_session.user_id if user_session else None
        account = await lock_account(self.session, user_id)
        if account is None:
            # Logged out meanwhile.
            raise LoginNotStartedError
        if not proven.is_allowed:
            raise NotAllowedError
        row = await find_identity(self.session, proven)
        if row is None or row.user_id != account.id:
            await add_identity(self.session, account, proven, self.provider.label)


def login_methods(proven: ProvenIdentity) -> list[str]:
    return ["provider", *(["provider_second_factor"] if proven.has_second_factor else [])]
