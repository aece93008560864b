"""The job that sends a mail."""

from app.core.database import Session
from app.core.jobs import current_job, enqueue, job
from app.core.mail import smtp
from app.core.mail.mails import Mail, render


async def send_mail(
    session: Session, *, to: str, template: str, reply_to: str | None = None, **context: object
) -> None:
    """Render a mail to one address, and enqueue its delivery in the session's transaction.

    `template="order/mails/confirmation"` is `confirmation.txt` and `confirmation.html` in
    app/modules/order/mails. Raises ValueError for an invalid address or subject, and
    `jinja2.TemplateError` for a missing file or variable.
    """
    await enqueue(session, send, Mail(to, *render(template, context), reply_to))


# With the default settings of jobs, retried for eight hours.
@job(attempts=20)
async def send(_session: Session, mail: Mail) -> None:
    # Without a statement on the session, no connection is held meanwhile.
    await smtp.deliver(mail, current_job().id)
