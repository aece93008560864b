"""The ways to log in to an account, of which a removal has to leave one.

Links in mails are none: they are for owners who have lost all of these, and an owner
without the mailbox could never log in again.
"""

from collections.abc import Collection

from sqlalchemy import exists, select

from app.core.database import Session
from app.core.errors import ConflictError
from app.core.users.factors.settings import passkey_domain
from app.core.users.methods import PASSKEY, PASSWORD, PROVIDER
from app.core.users.models import UserAccount
from app.core.users.tables import IDENTITIES, PASSKEYS


class OnlyWayInError(ConflictError):
    """Without what was to be removed, nothing would be left to log in with."""

    def __init__(self) -> None:
        super().__init__(
            "It is the only way to log in to the account; set a password, link another provider,"
            " or log in with another passkey alone, first."
        )


async def list_ways_in(
    session: Session, account: UserAccount, issuers: Collection[str]
) -> list[str]:
    """Return the methods that can start a login to an account: each of them without the others.

    The account has to be locked, so that nobody removes another way in meanwhile. `issuers` are
    those of the providers in the settings: identities of others cannot log in. A passkey counts
    once it has logged in alone: only then is it known to verify its user, and to be found without
    an address.
    """
    identity = (IDENTITIES.c.user_id == account.id, IDENTITIES.c.issuer.in_(issuers))
    passkey = (PASSKEYS.c.user_id == account.id, PASSKEYS.c.login_domain == passkey_domain())
    found = await session.execute(select(exists().where(*identity), exists().where(*passkey)))
    has_identity, has_passkey = found.one()
    present = {
        PASSWORD: account.password_hash is not None,
        PROVIDER: has_identity,
        PASSKEY: has_passkey,
    }
    return [method for method, is_present in present.items() if is_present]


async def check_ways_in(session: Session, account: UserAccount, issuers: Collection[str]) -> None:
    """Raise OnlyWayInError, which rolls a removal back, if it has left no way to log in."""
    if not await list_ways_in(session, account, issuers):
        raise OnlyWayInError
