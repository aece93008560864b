"""Changes of the caller's second factors, after a recent login with one, if there is one."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import structlog

from app.core.auth.audit import audit_after_commit
from app.core.errors import ConflictError, ErrorDetail, InvalidError, NotFoundError
from app.core.users.caller_session import require_session
from app.core.users.confirmation import require_recent_login
from app.core.users.factors import passkeys, webauthn_ceremonies
from app.core.users.factors.change import Added, FactorChange
from app.core.users.factors.encryption import MissingKeyError
from app.core.users.factors.recovery_codes import replace_recovery_codes
from app.core.users.factors.totp import confirm_totp, delete_totp, provisioning_uri, start_totp
from app.core.users.factors.webauthn_ceremonies import CeremonyError, Options
from app.core.users.jobs import send_notice
from app.core.users.methods import PASSKEY, TOTP
from app.core.users.throttling.throttle import Throttle
from app.core.users.ways_in import check_ways_in

logger = structlog.get_logger("app.users")


class WrongCodeError(InvalidError):
    """The code does not prove that the app has the secret."""

    def __init__(self) -> None:
        reason = "wrong, or the secret has expired"
        detail = ErrorDetail(location=["body", "code"], reason=reason)
        super().__init__(f"The code is {reason}; check the clock, or start again.", [detail])


class OwnSecondFactors(FactorChange):
    """Each operation raises LoginRequiredError as `authorize` does."""

    async def start_totp(self, application: str) -> tuple[str, str]:
        """Return a new secret for an authenticator app, and the URI of its QR code."""
        account, _ = await self.authorize()
        try:
            secret = await start_totp(self.session, account.id)
        except MissingKeyError as error:
            logger.error("authenticator apps are not available", reason=str(error))
            raise ConflictError("Authenticator apps are not available; use a passkey.") from None
        return secret, provisioning_uri(secret, account.email, application)

    async def confirm_totp(self, throttle: Throttle, code: str) -> Added:
        """Activate the app whose code this is, instead of an earlier one.

        Raises WrongCodeError and TooManyRequestsError.
        """
        # Before the code is counted: callers who may not add an app must not delay the owner.
        await require_recent_login(self.session, self.principal)
        await throttle.count_second_factor(self.user_id)
        account, methods = await self.authorize()
        if not await confirm_totp(self.session, account.id, code):
            raise WrongCodeError
        await throttle.forgive_second_factor(self.session, account.id)
        return await self.complete(account, TOTP, methods, "an authenticator app")

    async def remove_totp(self) -> None:
        """Raises NotFoundError if there is no app."""
        account, methods = await self.authorize()
        if TOTP not in methods:
            raise NotFoundError("authenticator app of account", account.id)
        await delete_totp(self.session, account.id)
        await self.complete_removal(account, TOTP, "an authenticator app")

    async def start_passkey(self, application: str) -> Options:
        """Return the options with which a browser creates a passkey."""
        account, _ = await self.authorize()
        caller = require_session(self.principal).id
        return await webauthn_ceremonies.start_adding(self.session, account, caller, application)

    async def add_passkey(self, credential: dict[str, Any], name: str) -> tuple[UUID, Added]:
        """Store the passkey that a browser has created, and return its id."""
        account, methods = await self.authorize()
        try:
            passkey = await webauthn_ceremonies.finish_adding(
                self.session, account.id, require_session(self.principal).id, credential, name
            )
        except CeremonyError as error:
            detail = ErrorDetail(location=["body", "credential"], reason=str(error))
            raise InvalidError("The passkey cannot be added.", [detail]) from None
        added = await self.complete(account, PASSKEY, methods, "a passkey")
        return passkey.id, added

    async def rename_passkey(self, passkey_id: UUID, name: str) -> None:
        """Raises NotFoundError."""
        require_session(self.principal)
        await passkeys.rename_passkey(self.session, self.user_id, passkey_id, name)

    async def remove_passkey(self, passkey_id: UUID, issuers: Collection[str]) -> None:
        """Raises NotFoundError, and OnlyWayInError; `issuers` are those of the providers."""
        account, _ = await self.authorize()
        await passkeys.delete_passkey(self.session, account.id, passkey_id)
        await check_ways_in(self.session, account, issuers)
        await self.complete_removal(account, PASSKEY, "a passkey")

    async def replace_recovery_codes(self) -> list[str]:
        """Return new recovery codes; the old ones become invalid."""
        account, methods = await self.authorize()
        if not methods:
            raise ConflictError("Add an authenticator app or a passkey first.")
        codes = await replace_recovery_codes(self.session, account.id)
        audit_after_commit(self.session, "recovery codes replaced", user_id=self.principal.id)
        await send_notice(self.session, account.email, "recovery_codes_replaced")
        return codes
