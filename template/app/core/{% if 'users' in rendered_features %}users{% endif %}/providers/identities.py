"""Identities: the users of providers that can log in to an account."""

from uuid import UUID

from sqlalchemy import bindparam, delete, select, update

from app.core.auth.audit import audit_after_commit
from app.core.auth.errors import ForbiddenError
from app.core.database import Session, SessionFactory, StoredRow, read_rows
from app.core.errors import ConflictError, NotFoundError
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.jobs import send_notice
from app.core.users.models import UserAccount, UserIdentity
from app.core.users.providers.claims import ProvenIdentity
from app.core.users.providers.login_providers import LoginProviders
from app.core.users.tables import IDENTITIES
from app.core.users.ways_in import check_ways_in

MAX_IDENTITIES = 20

FIND = select(IDENTITIES).where(
    IDENTITIES.c.issuer == bindparam("wanted_issuer"),
    IDENTITIES.c.subject == bindparam("wanted_subject"),
)
LIST = (
    select(IDENTITIES).where(IDENTITIES.c.user_id == bindparam("wanted")).order_by(IDENTITIES.c.id)
)


class NotAllowedError(ForbiddenError):
    """The settings do not accept users of this domain."""

    def __init__(self) -> None:
        super().__init__("The provider has confirmed no address of an allowed domain.")


class TooManyIdentitiesError(ConflictError):
    """The account has as many identities as it can have."""

    def __init__(self) -> None:
        super().__init__(
            f"An account can have {MAX_IDENTITIES} logins with providers; unlink one first."
        )


class IdentityTakenError(ConflictError):
    """The user of the provider has another account."""

    def __init__(self) -> None:
        super().__init__("This login with the provider belongs to another account.")


async def find_identity(session: Session, proven: ProvenIdentity) -> StoredRow | None:
    """Return the linked identity or None, without a transaction.

    Addresses are not compared: a provider may give one to another person, and users change theirs.
    """
    wanted = {"wanted_issuer": proven.issuer, "wanted_subject": proven.subject}
    rows = await read_rows(session, FIND, wanted)
    return rows[0] if rows else None


async def is_linked(sessions: SessionFactory, proven: ProvenIdentity) -> bool:
    """Return whether an identity has an account; no connection is held afterwards."""
    async with sessions() as session:
        return await find_identity(session, proven) is not None


async def list_identities(session: Session, user_id: UUID) -> list[StoredRow]:
    return [*await read_rows(session, LIST, {"wanted": user_id})]


async def add_identity(
    session: Session, account: UserAccount, proven: ProvenIdentity, label: str
) -> None:
    """Link an identity and send a notice. Raises IntegrityError, a 409, if it has an account."""
    row = UserIdentity(
        user_id=account.id, issuer=proven.issuer, subject=proven.subject, email=proven.email
    )
    session.add(row)
    await session.flush()
    audit_after_commit(
        session,
        "identity linked",
        user_id=str(account.id),
        issuer=proven.issuer,
        identity_id=str(row.id),
    )
    await send_notice(session, account.email, "identity_linked", provider=label)


async def link_identity(
    session: Session, account: UserAccount, proven: ProvenIdentity, label: str
) -> None:
    """Link an identity to a locked account, unless that is done.

    Raises NotAllowedError, IdentityTakenError and TooManyIdentitiesError.
    """
    if not proven.is_allowed:
        raise NotAllowedError
    row = await find_identity(session, proven)
    if row is None:
        if len(await list_identities(session, account.id)) >= MAX_IDENTITIES:
            raise TooManyIdentitiesError
        await add_identity(session, account, proven, label)
    elif row.user_id != account.id:
        raise IdentityTakenError


async def remove_identity(
    session: Session, account: UserAccount, identity_id: UUID, providers: LoginProviders
) -> None:
    """Unlink an identity of a locked account, and send a notice.

    Raises NotFoundError, also for that of another account, and OnlyWayInError.
    """
    rows = {row.id: row for row in await list_identities(session, account.id)}
    if (row := rows.get(identity_id)) is None:
        raise NotFoundError("identity", identity_id)
    await session.execute(delete(IDENTITIES).where(IDENTITIES.c.id == identity_id))
    await check_ways_in(session, account, providers.issuers)
    audit_after_commit(session, "identity unlinked", user_id=str(account.id), issuer=row.issuer)
    label = providers.issuers.get(row.issuer, row.issuer)
    await send_notice(session, account.email, "identity_unlinked", provider=label)


async def record_login(session: Session, identity_id: UUID) -> bool:
    """Record a login; return whether the identity is still linked. Its account is locked."""
    statement = (
        update(IDENTITIES).where(IDENTITIES.c.id == identity_id).values(last_login_at=utc_now())
    )
    return await affected_rows(session, statement) == 1
