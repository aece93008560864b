"""The fixture `mails`, which collects what jobs send."""

from uuid import UUID

import pytest

from app.core.mail import Mail, smtp


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> list[Mail]:
    """The mails that `jobs.run()` has sent."""
    sent: list[Mail] = []

    async def collect(mail: Mail, _job_id: UUID) -> None:
        sent.append(mail)

    monkeypatch.setattr(smtp, "deliver", collect)
    return sent
