"""The audit log: one line per security event, never with passwords, tokens or codes."""

import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.orm import SessionTransaction

from app.core.database import Session

# Key in `Session.info`: what to log after the commit, with the transaction that it belongs to.
AUDITED = "audited_events"

logger = structlog.get_logger("app.audit")


def audit(name: str, /, **details: object) -> None:
    """Log a security event, such as "authentication failed", with details that are not secret.

    The line also has the request's `request_id` and, once it is known, the `user_id`.
    """
    logger.info(name, audit=True, **details)


def audit_after_commit(session: Session, name: str, /, **details: object) -> None:
    """Log a security event that the session's transaction stores, such as "login".

    After the commit: a line never tells of what was rolled back, or not committed.
    """
    sync_session = session.sync_session
    transaction = sync_session.get_nested_transaction() or sync_session.get_transaction()
    if transaction is None:
        return audit(name, **details)
    if AUDITED not in sync_session.info:
        sync_session.info[AUDITED] = []
        event.listen(sync_session, "after_commit", _log)
        event.listen(sync_session, "after_soft_rollback", _forget)
    sync_session.info[AUDITED].append((transaction, name, details))


def _log(session: SyncSession) -> None:
    # A savepoint that is released can still be rolled back.
    if session.in_nested_transaction():
        return
    for transaction, name, details in session.info[AUDITED]:
        # Not those of a transaction that was closed without a commit.
        if _is_within(transaction, session.get_transaction()):
            audit(name, **details)
    session.info[AUDITED].clear()


def _forget(session: SyncSession, rolled_back: SessionTransaction) -> None:
    kept = [each for each in session.info[AUDITED] if not _is_within(each[0], rolled_back)]
    session.info[AUDITED] = kept


def _is_within(transaction: SessionTransaction | None, outer: SessionTransaction | None) -> bool:
    while transaction is not None and transaction is not outer:
        transaction = transaction.parent
    return transaction is not None
