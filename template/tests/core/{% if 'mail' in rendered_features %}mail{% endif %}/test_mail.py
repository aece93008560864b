from typing import Any

import jinja2
import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy import select

from app.core.database import Session, SessionFactory
from app.core.jobs.models import QueuedJob
from app.core.mail import MailAddress, mails, send_mail

pytestmark = pytest.mark.usefixtures("templates")
TO = "bob@example.com"


async def enqueued(session: Session) -> list[dict[str, Any]]:
    """Return the mails that the transaction has enqueued."""
    jobs = await session.scalars(select(QueuedJob).order_by(QueuedJob.id))
    return [job.arguments["mail"] for job in jobs]


async def test_a_mail_is_rendered_from_its_templates(session_factory: SessionFactory) -> None:
    async with session_factory() as session:
        await send_mail(session, to=TO, template="welcome", reply_to="a@b.org", name="Böb & Co")
        [mail] = await enqueued(session)
    assert (mail["to"], mail["reply_to"]) == (TO, "a@b.org")
    assert mail["subject"] == "Welcome, Böb & Co"
    assert mail["text"].splitlines() == ["Hello Böb & Co,", "your balance is 5 €."]
    assert "<title>Welcome, Böb &amp; Co</title>" in mail["html"]
    assert "<p>Hello Böb &amp; Co, your balance is 5 €.</p>" in mail["html"]


async def test_a_rollback_leaves_no_mail(session_factory: SessionFactory) -> None:
    async with session_factory() as session:
        await send_mail(session, to=TO, template="welcome", name="Bob")
        await session.rollback()
        assert await enqueued(session) == []


@pytest.mark.parametrize(
    "address",
    [
        *("", "bob", "bob@", "@b.org", "bob @b.org", "<bob@b.org>", "Bob <bob@b.org>"),
        *("bob@b.org\n", "bob@b.org\nBcc: a@b.org", "bob@b.org>\r\nDATA", "bob@b.org, a@b.org"),
        *("bob@b\u00f6b.org", "=?utf-8?q?a=40b.org=2C=20b?=@b.org"),
    ],
)
@pytest.mark.parametrize("parameter", ["to", "reply_to"])
async def test_an_invalid_address_is_rejected_before_anything_is_enqueued(
    session_factory: SessionFactory, parameter: str, address: str
) -> None:
    addresses = {"to": TO, parameter: address}
    async with session_factory() as session:
        with pytest.raises(ValueError, match="is not a mail address such as"):
            await send_mail(session, template="welcome", name="Bob", **addresses)
        assert await enqueued(session) == []


@pytest.mark.parametrize(
    "name",
    [
        *("Bob\nBcc: a@b.org", "Bob\r\n\r\nx", "Bob\u2028x", "Bob\x0bx"),
        "=?utf-8?q?x=0D=0ABcc=3A_a@b.org?=",
    ],
)
async def test_a_subject_of_two_lines_is_rejected_before_anything_is_enqueued(
    session_factory: SessionFactory, name: str
) -> None:
    async with session_factory() as session:
        with pytest.raises(ValueError, match="must be one line"):
            await send_mail(session, to=TO, template="welcome", name=name)
        assert await enqueued(session) == []


async def test_a_missing_variable_is_an_error(session_factory: SessionFactory) -> None:
    async with session_factory() as session:
        with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
            await send_mail(session, to=TO, template="welcome")


async def test_html_is_required(session_factory: SessionFactory) -> None:
    async with session_factory() as session:
        with pytest.raises(jinja2.TemplateNotFound, match=r"text_only\.html"):
            await send_mail(session, to=TO, template="text_only", name="Bob")


def test_schemas_accept_mail_addresses() -> None:
    class Invitation(BaseModel):
        email: MailAddress

    assert Invitation(email="Bob.O'Neil+x@mail.example.com").email
    with pytest.raises(ValidationError, match="'bob' is not a mail address"):
        Invitation(email="bob")


def test_a_template_without_a_subject_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = jinja2.DictLoader({"untitled.txt": "Hello", "untitled.html": "<p>Hello</p>"})
    monkeypatch.setattr(mails.TEMPLATES, "loader", loader)
    with pytest.raises(ValueError, match=r"untitled\.txt: no block `subject`"):
        mails.render("untitled", {})
