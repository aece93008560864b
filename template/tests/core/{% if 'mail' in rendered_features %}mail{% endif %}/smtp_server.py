"""An SMTP server in the process of the tests."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

LOGIN = LoginPassword(b"app", b"p@ss%/:#?")


class MailServer:
    """Keeps the mails that it accepts; listens on the same port each time."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[EmailMessage] = []
        # The sender and the recipients of each mail.
        self.envelopes: list[tuple[str | None, list[str]]] = []
        self.logins: list[LoginPassword] = []
        self.recipient_reply = self.data_reply = "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: object, envelope: Envelope, address: str, _options: object
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.recipient_reply

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: object, envelope: Envelope
    ) -> str:
        if self.data_reply == "250 OK":
            self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
            content = envelope.original_content or b""
            self.received.append(message_from_bytes(content, EmailMessage, policy=default))
        return self.data_reply

    def authenticate(self, *arguments: Any) -> AuthResult:
        self.logins.append(arguments[-1])
        return AuthResult(success=arguments[-1] == LOGIN, handled=False)

    @asynccontextmanager
    async def listen(
        self, tls: ssl.SSLContext | None = None, *, implicit: bool = False
    ) -> AsyncIterator[None]:
        """Accept connections; with TLS, implicit or by STARTTLS."""
        starttls = None if implicit else tls

        def connect() -> SMTP:
            return SMTP(
                self,
                hostname="localhost",
                tls_context=starttls,
                authenticator=self.authenticate,
                auth_require_tls=starttls is not None,
            )

        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            connect, "localhost", self.port, ssl=tls if implicit else None
        )
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            listener.close()
            await listener.wait_closed()
