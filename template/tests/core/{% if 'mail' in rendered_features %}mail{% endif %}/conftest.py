import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from jinja2 import FileSystemLoader

from app.core.mail import mails
from app.core.mail.settings import get_mail_settings
from app.core.settings import PROJECT_ROOT
from tests.core.mail.smtp_server import MailServer


@pytest.fixture
def templates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find templates in the folder of these tests."""
    folders = [Path(__file__).with_name("templates"), PROJECT_ROOT / "app/core/mail"]
    monkeypatch.setattr(mails.TEMPLATES, "loader", FileSystemLoader(folders))


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`configure(port=25)` sets `MAIL_PORT`, beside a host, a sender and no TLS."""

    def set_variables(**variables: object) -> None:
        values = {"host": "localhost", "sender": "shop@example.com", "tls": "none", **variables}
        for name, value in values.items():
            monkeypatch.setenv(f"MAIL_{name.upper()}", str(value))
        get_mail_settings.cache_clear()

    yield set_variables
    get_mail_settings.cache_clear()


@pytest.fixture
def server() -> MailServer:
    return MailServer()


@pytest.fixture
def certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """The certificate of a server; its authority is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context
