"""What `nox -s dev` supplies for accounts."""

import smtplib
from email.message import EmailMessage

import pytest

from tools.development_settings import administrator_command, development_variables
from tools.mail_catcher import run_mail_catcher

SUPPLIED = (
    *("USERS_LINK_URL", "MAIL_HOST", "MAIL_SENDER"),
    *("CORS_ALLOW_ORIGINS", "CORS_ALLOW_CREDENTIALS"),
)


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SUPPLIED:
        monkeypatch.delenv(name, raising=False)


def test_mails_are_printed_with_their_links(capsys: pytest.CaptureFixture[str]) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "dev@example.com", "ada@example.com", "Grüße"
    mail.set_content(f"Open this link:\n\nhttp://localhost:5173/a#token={'t' * 90}\n\nNow.\n")
    mail.add_alternative("<p>Open this link.</p>", subtype="html")
    with run_mail_catcher() as port, smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(mail)
    expected = f"Mail to ada@example.com: Grüße\n    http://localhost:5173/a#token={'t' * 90}\n"
    assert capsys.readouterr().out == expected


def test_missing_variables_are_supplied() -> None:
    with development_variables() as variables:
        assert {*SUPPLIED} < {*variables}
        assert variables["USERS_LINK_URL"] == variables["CORS_ALLOW_ORIGINS"]


def test_variables_that_are_set_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERS_LINK_URL", "https://app.example.com/shop")
    monkeypatch.setenv("MAIL_HOST", "localhost")
    with development_variables() as variables:
        assert variables == {
            "USERS_LINK_URL": "https://app.example.com/shop",
            "CORS_ALLOW_ORIGINS": "https://app.example.com",
            "CORS_ALLOW_CREDENTIALS": "true",
        }


@pytest.mark.parametrize("name", ["CORS_ALLOW_ORIGINS", "CORS_ALLOW_CREDENTIALS"])
def test_chosen_origins_are_kept(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "*")
    with development_variables() as variables:
        assert not any(variable.startswith("CORS_") for variable in variables)


def test_the_printed_command_can_be_pasted() -> None:
    command = administrator_command({"DATABASE_URL": "x:///y?a&b", "USERS_LINK_URL": "http://z"})
    assert command.startswith("DATABASE_URL='x:///y?a&b' USERS_LINK_URL=http://z uv run python ")
