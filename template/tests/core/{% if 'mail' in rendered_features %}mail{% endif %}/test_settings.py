import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from app.core.mail.settings import get_mail_settings
from app.core.settings import PROJECT_ROOT, SettingsError


def test_an_invalid_sender_is_named(configure: Callable[..., None]) -> None:
    configure(sender="Shop <shop@example.com>")
    with pytest.raises(SettingsError, match=r"MAIL_SENDER='Shop .*' is not a mail address"):
        get_mail_settings()


def test_the_password_is_not_shown(configure: Callable[..., None]) -> None:
    configure(password="s3cret")  # noqa: S106
    assert "s3cret" not in repr(get_mail_settings())


def test_a_password_is_not_sent_unencrypted_to_another_machine(
    configure: Callable[..., None],
) -> None:
    configure(host="smtp.example.com", password="s3cret")  # noqa: S106
    with pytest.raises(SettingsError) as raised:
        get_mail_settings()
    reason = "the password would be sent to smtp.example.com unencrypted; use starttls"
    assert str(raised.value) == f"MAIL_TLS='none': {reason}"


@pytest.mark.process
def test_an_invalid_variable_prevents_the_start_of_the_worker(server_url: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "app.worker"],
        cwd=PROJECT_ROOT,
        env=os.environ | {"DATABASE_URL": server_url, "MAIL_PORT": "nonsense"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1
    assert "MAIL_PORT='nonsense': " in process.stderr
    assert "Traceback" not in process.stderr
