"""Jobs of accounts: mails with links, and the end of what has expired.

Requests enqueue the same job whether or not an address is known, so that nobody can tell from the
time a response takes.
"""

from uuid import UUID

from app.core.database import Session
from app.core.jobs import NextStep, enqueue, job, schedule
from app.core.mail import send_mail
from app.core.users.accounts import find_by_email, find_by_id
from app.core.users.expired_rows import TABLES, delete_batch
from app.core.users.links import send_link, site
from app.core.users.one_time_tokens import Purpose
from app.core.users.settings import get_users_settings


@job(attempts=20)
async def send_sign_up_link(session: Session, email: str) -> None:
    """Send a link that creates an account or, if the address has one, a mail that says so."""
    account = await find_by_email(session, email)
    if account is None:
        return await send_link(session, Purpose.SIGN_UP, email, None)
    if account.email_verified_at is None and account.deactivated_at is None:
        return await send_link(session, Purpose.INVITATION, email, account)
    await send_notice(session, email, "sign_up_existing")


@job(attempts=20)
async def send_invitation(session: Session, email: str) -> None:
    account = await find_by_email(session, email)
    if account and account.deactivated_at is None and account.email_verified_at is None:
        await send_link(session, Purpose.INVITATION, email, account)


@job(attempts=20)
async def send_reset_link(session: Session, email: str) -> None:
    """Send a link that sets a new password, unless the address has no active account."""
    account = await find_by_email(session, email)
    if account and account.deactivated_at is None:
        await send_link(session, Purpose.PASSWORD_RESET, email, account)


@job(attempts=20)
async def send_email_change_link(
    session: Session, email: str, user_id: UUID, generation: int
) -> None:
    """Send a link that gives an account a new address, unless that has an account already.

    Nothing is sent if the links of the account have ended since: a new password ends what another
    person may have requested, also if the mail has to wait.
    """
    account = await find_by_id(session, user_id)
    if account is None or account.link_generation != generation:
        return
    if await find_by_email(session, email) is None:
        await send_link(session, Purpose.EMAIL_CHANGE, email, account)
    else:
        await send_notice(session, email, "email_change_existing")


@schedule("23 3 * * *")
@job()
async def delete_expired(session: Session) -> None:
    """Delete sessions, keys, tokens, logins and counts of attempts that have expired.

    By a job for each table, so that one that fails keeps no other from being cleaned.
    """
    for table in TABLES:
        await enqueue(session, delete_expired_rows, table)


@job()
async def delete_expired_rows(session: Session, table: str) -> NextStep | None:
    """Delete expired rows of a table, each batch in a transaction of its own."""
    return NextStep(table=table) if await delete_batch(session, table) else None


async def send_notice(session: Session, email: str, template: str, **context: str) -> None:
    """Send a mail about an account, without a token, in the session's transaction."""
    await send_mail(
        session,
        to=email,
        template=f"users/mails/{template}",
        email=email,
        site=site(),
        url=get_users_settings().link_url,
        **context,
    )
