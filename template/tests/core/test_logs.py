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


# What `uvicorn --log-level warning` does before it imports the application.
SERVED = """
import uvicorn

uvicorn.Config("app.main:create_app", log_level={level!r})
"""

HOSTILE = r"""
import logging
import structlog
from pydantic import TypeAdapter, ValidationError
from app.core.logs import configure_logs

configure_logs()
structlog.get_logger().info("request", path="/\x1b[2J\x9b\u202e", given=["\x1b"])
logging.getLogger("library").info("first \x1b[31m\nsecond", extra={"color_message": "\x1b[36m"})
try:
    TypeAdapter(int).validate_python("s3cret")
except ValidationError:
    logging.getLogger("uvicorn.error").exception("failed")
"""


def log(monkeypatch: pytest.MonkeyPatch, script: str = LOG, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
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


@pytest.mark.parametrize(
    ("option", "variable", "lines"),
    [
        ("warning", "DEBUG", ["theirs too", "failed"]),
        # Uvicorn's default, explicit or not.
        ("info", "ERROR", ["failed"]),
        ("trace", "ERROR", ["ours", "theirs too", "too low", "failed"]),
    ],
)
def test_uvicorns_option_sets_the_level(
    monkeypatch: pytest.MonkeyPatch, option: str, variable: str, lines: list[str]
) -> None:
    script = SERVED.format(level=option) + LOG
    printed = log(monkeypatch, script, LOG_LEVEL=variable)
    assert [json.loads(line)["event"] for line in printed.splitlines()] == lines


@pytest.mark.parametrize("form", ["json", "console"])
def test_control_characters_and_invalid_values_stay_out(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    printed = log(monkeypatch, HOSTILE, LOG_FORMAT=form)
    assert {character for character in printed if not character.isprintable()} == {"\n"}
    assert "[2J" in printed
    assert "color_message" not in printed
    assert "pydantic_core._pydantic_core.ValidationError" in printed
    assert "input_type=str" in printed
    assert "s3cret" not in printed
