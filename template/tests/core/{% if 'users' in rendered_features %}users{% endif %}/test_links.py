"""Mails about accounts."""

from pathlib import Path

import httpx2
import pytest

from app.core.mail.mails import TEMPLATES, render
from app.core.settings import PROJECT_ROOT, SettingsError
from app.core.users.links import LINKS, format_duration, link_url
from app.core.users.one_time_tokens import Purpose
from app.core.users.project_name import PROJECT_NAME
from app.core.users.settings import get_users_settings
from tests.core.users.conftest import ADA, AUTH, Configure, CreateAccount, ReadMail

FOLDER = PROJECT_ROOT / "app" / "core" / "users" / "mails"
CONTEXT: dict[str, object] = {
    "site": "app.example.com",
    "url": "https://app.example.com/page#token=x&y",
    "email": "ada@example.com",
    "new_email": "<b>bob@example.com</b>",
    "lifetime": "1 day",
    "provider": "<b>Corp</b>",
    "name": "<b>Backup</b>",
    "prefix": "app_key_1f09c3d7",
    "scopes": "item:read, item:write",
    "expiry": "2027-01-31",
    "factor": "a passkey",
    "left": 9,
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_each_mail_has_a_subject_and_both_forms(path: Path) -> None:
    subject, text, html = render(f"users/mails/{path.stem}", CONTEXT)
    assert "app.example.com" in subject
    assert text.startswith("Hello,")
    assert "<b>" not in html
    assert ("https://" in text) == ("https://" in html)
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (60, "1 minute"),
        (900, "15 minutes"),
        (3599, "59 minutes"),
        (3600, "1 hour"),
        (5400, "1 hour 30 minutes"),
        (7200, "2 hours"),
        (86400, "1 day"),
        (7 * 86400, "7 days"),
        (90061, "1 day 1 hour 1 minute"),
    ],
)
def test_durations_are_written_out(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


async def test_a_mail_states_the_lifetime_of_its_link(
    client: httpx2.AsyncClient,
    create_account: CreateAccount,
    configure: Configure,
    read_mail: ReadMail,
) -> None:
    configure(reset_lifetime=900)
    await create_account()
    await client.post(f"{AUTH}/forgot-password", json={"email": ADA})
    mail = await read_mail()
    for form in (mail.text, mail.html):
        assert "The link works once, within 15 minutes." in form
        assert f"account at {PROJECT_NAME}" in form


def test_each_link_has_a_mail() -> None:
    for purpose, link in LINKS.items():
        TEMPLATES.get_template(f"users/mails/{link.template}.txt")
        assert link.lifetime(get_users_settings()) > 0
        assert link_url(purpose, "x").startswith("https://app.example.com/")
    assert {*LINKS} == {*Purpose}


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://app.example.com/", "https://app.example.com/reset-password#token=x"),
        ("https://example.com/app/#", None),
        ("https://example.com/app", "https://example.com/app/reset-password#token=x"),
        ("http://localhost:5173", "http://localhost:5173/reset-password#token=x"),
        ("http://example.com", None),
        ("http://localhost.evil.com", None),
        ("https://app@evil.com", None),
        ("https://example.com/?next=x", None),
        ("javascript:alert(1)", None),
        ("example.com", None),
    ],
)
def test_links_need_https_except_on_the_same_machine(
    configure: Configure, url: str, link: str | None
) -> None:
    configure(link_url=url)
    if link is None:
        with pytest.raises(SettingsError, match="USERS_LINK_URL: invalid URL"):
            get_users_settings()
    else:
        assert link_url(Purpose.PASSWORD_RESET, "x") == link
