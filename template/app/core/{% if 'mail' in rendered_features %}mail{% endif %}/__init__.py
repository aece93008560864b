"""Mails, rendered from templates and sent by jobs; see docs/mail.md."""

from app.core.mail.addresses import MailAddress as MailAddress
from app.core.mail.jobs import send_mail as send_mail
from app.core.mail.mails import Mail as Mail
