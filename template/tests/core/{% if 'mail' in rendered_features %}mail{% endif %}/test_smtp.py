import asyncio
import logging
import ssl
import traceback
from collections.abc import Callable
from uuid import UUID

import aiosmtplib
import pytest

from app.core.jobs import PermanentError
from app.core.mail import Mail
from app.core.mail.smtp import deliver
from tests.core.mail.smtp_server import LOGIN, MailServer

JOB = UUID("01990000-0000-7000-8000-000000000001")
MAIL = Mail("bob@example.com", "Größe €", "Hällo 👋\n", "<p>Hällo 👋</p>\n", "help@example.com")
CREDENTIALS = {"username": LOGIN.login.decode(), "password": LOGIN.password.decode()}

Configure = Callable[..., None]


async def test_both_parts_and_all_headers_arrive(server: MailServer, configure: Configure) -> None:
    async with server.listen():
        configure(port=server.port, sender_name="Müller, Söhne")
        await deliver(MAIL, JOB)
    assert server.envelopes == [("shop@example.com", ["bob@example.com"])]
    [mail] = server.received
    assert mail["From"] == '"Müller, Söhne" <shop@example.com>'
    assert mail["To"] == "bob@example.com"
    assert mail["Reply-To"] == "help@example.com"
    assert mail["Subject"] == "Größe €"
    assert mail["Message-ID"] == f"<{JOB}@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.tzinfo
    plain, html = mail.iter_parts()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert plain.get_content().splitlines() == MAIL.text.splitlines()
    assert html.get_content().splitlines() == MAIL.html.splitlines()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_login_and_the_mail_are_encrypted(
    server: MailServer, configure: Configure, certificate: ssl.SSLContext, tls: str
) -> None:
    async with server.listen(certificate, implicit=tls == "implicit"):
        configure(port=server.port, tls=tls, **CREDENTIALS)
        await deliver(MAIL, JOB)
    assert server.logins == [LOGIN]
    assert len(server.received) == 1


async def test_nothing_is_sent_unencrypted_if_the_server_offers_no_tls(
    server: MailServer, configure: Configure
) -> None:
    async with server.listen():
        configure(port=server.port, tls="starttls", **CREDENTIALS)
        with pytest.raises(aiosmtplib.SMTPException, match="STARTTLS"):
            await deliver(MAIL, JOB)
    assert (server.logins, server.received) == ([], [])


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_an_untrusted_certificate_is_rejected(
    server: MailServer,
    configure: Configure,
    certificate: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    tls: str,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    async with server.listen(certificate, implicit=tls == "implicit"):
        configure(port=server.port, tls=tls, **CREDENTIALS)
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await deliver(MAIL, JOB)
    assert (server.logins, server.received) == ([], [])


@pytest.mark.parametrize("command", ["recipient_reply", "data_reply"])
async def test_a_refused_mail_is_not_retried(
    server: MailServer, configure: Configure, command: str
) -> None:
    setattr(server, command, "550 5.1.1 No such user")
    async with server.listen():
        configure(port=server.port)
        with pytest.raises(PermanentError, match=r"^localhost refused .*: 550 5.1.1 No such user$"):
            await deliver(MAIL, JOB)


@pytest.mark.parametrize("command", ["recipient_reply", "data_reply"])
async def test_a_temporary_refusal_is_retried(
    server: MailServer, configure: Configure, command: str
) -> None:
    setattr(server, command, "451 4.7.1 Greylisted")
    async with server.listen():
        configure(port=server.port)
        with pytest.raises(aiosmtplib.SMTPException, match="Greylisted"):
            await deliver(MAIL, JOB)


async def test_a_rejected_login_is_retried_and_no_password_is_shown(
    server: MailServer,
    configure: Configure,
    certificate: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with server.listen(certificate):
        configure(port=server.port, tls="starttls", **CREDENTIALS | {"password": "s3cret"})
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as caught:
            await deliver(MAIL, JOB)
    assert {login.password for login in server.logins} == {b"s3cret"}
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "s3cret" not in shown


async def test_a_server_that_does_not_respond_is_given_up(configure: Configure) -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(ignore, "localhost", 0)
    async with listener:
        configure(port=listener.sockets[0].getsockname()[1], timeout=0.05)
        with pytest.raises(aiosmtplib.SMTPTimeoutError):
            await deliver(MAIL, JOB)


async def test_an_unreachable_server_is_named(server: MailServer, configure: Configure) -> None:
    async with server.listen():
        configure(port=server.port)
    with pytest.raises(aiosmtplib.SMTPConnectError, match=f"localhost on port {server.port}"):
        await deliver(MAIL, JOB)
