"""The audit log: one line per security event, never with passwords, tokens or codes."""

import structlog

logger = structlog.get_logger("app.audit")


def audit(event: str, **details: object) -> None:
    """Log a security event, such as "authentication failed", with details that are not secret.

    The line also has the request's `request_id` and, once it is known, the `user_id`.
    """
    logger.info(event, audit=True, **details)
