"""Delivery by SMTP."""

from email.message import EmailMessage
from email.utils import formataddr
from uuid import UUID

import aiosmtplib

from app.core.jobs import PermanentError
from app.core.mail.mails import Mail
from app.core.mail.settings import MailSettings, get_mail_settings
from app.core.models import utc_now


async def deliver(mail: Mail, job_id: UUID) -> None:
    """Send a mail; raises PermanentError if the server refuses this mail for good.

    Raises `aiosmtplib.SMTPException` or OSError for what may pass, such as an unreachable server,
    and for what concerns all mails, such as a wrong password.
    """
    settings = get_mail_settings()
    try:
        await aiosmtplib.send(
            compose(mail, job_id, settings),
            sender=settings.sender,
            recipients=[mail.to],
            hostname=settings.host,
            port=settings.port,
            use_tls=settings.tls == "implicit",
            # By default it is optional, and an attacker in the network could suppress it.
            start_tls=settings.tls == "starttls",
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            timeout=settings.timeout,
        )
    except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError) as error:
        reply = getattr(error, "recipients", [error])[0]
        if reply.code < 500:
            raise
        refused = f"{settings.host} refused the mail: {reply.code} {reply.message}"
        raise PermanentError(refused) from error


def compose(mail: Mail, job_id: UUID, settings: MailSettings) -> EmailMessage:
    message = EmailMessage()
    message["From"] = formataddr((settings.sender_name, settings.sender))
    message["To"] = mail.to
    message["Subject"] = mail.subject
    if mail.reply_to is not None:
        message["Reply-To"] = mail.reply_to
    message["Date"] = utc_now()
    # Of a mail that arrives twice, because its job was repeated, both have the same.
    message["Message-ID"] = f"<{job_id}@{settings.sender.partition('@')[2]}>"
    # No out-of-office replies: https://www.rfc-editor.org/rfc/rfc3834
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message
