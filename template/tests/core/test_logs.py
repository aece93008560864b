import json
import subprocess
import sys

import pytest

from app.core.logs import configure_logs
from app.core.settings import PROJECT_ROOT, SettingsError

LOG = """
import logging
import structlog
from structlog.contextvars import bind_contextvars
from app.core.logs import configure_logs

configure_logs()
bind_contextvars(request_id="abc")
structlog.get_logger().info("ours", number=1)
logging.getLogger("library").warning("theirs %s", "too")
structlog.get_logger().debug("too low")
try:
    secret = "s3cret"
    raise ValueError("wrong")
except ValueError:
    logging.getLogger("uvicorn.error").exception("failed")
"""


def log(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", LOG], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    return done.stderr


def test_every_line_is_json_and_knows_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, failed = map(json.loads, log(monkeypatch).splitlines())
    assert (ours["event"], ours["level"], ours["number"]) == ("ours", "info", 1)
    assert (theirs["event"], theirs["logger"]) == ("theirs too", "library")
    assert "ValueError: wrong" in failed["exception"]
    assert "s3cret" not in str(failed)
    for line in (ours, theirs, failed):
        assert line["request_id"] == "abc"
        assert line["timestamp"].endswith("Z")


def test_people_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = log(monkeypatch, LOG_FORMAT="console", LOG_LEVEL="WARNING")
    assert "theirs too" in printed
    assert "ours" not in printed
    assert "Traceback" in printed
    assert "{" not in printed


def test_a_wrong_level_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    with pytest.raises(SettingsError, match=r"^LOG_LEVEL 'LOUD' is wrong: .+\Z"):
        configure_logs()
