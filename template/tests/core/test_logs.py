import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr

import pytest
import structlog
import uvicorn
from pydantic import TypeAdapter, ValidationError
from structlog.contextvars import bound_contextvars

from app.core.logs import configure_logs
from app.core.settings import SettingsError

LOGGERS = [logging.getLogger(name) for name in (None, "uvicorn", "uvicorn.error", "uvicorn.access")]


def log_lines(local: str = "s3cret") -> None:
    structlog.get_logger().info("ours", number=1)
    logging.getLogger("library").warning("theirs %s", "too")
    structlog.get_logger().debug("too low")
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("failed")


def log_hostile_values(value: str = "s3cret") -> None:
    structlog.get_logger().info("request", path="/\x1b[2J\x9b\u202e", given=["\x1b"])
    color = {"color_message": "\x1b[36m"}
    logging.getLogger("library").info("first \x1b[31m\nsecond", extra=color)
    try:
        TypeAdapter(int).validate_python(value)
    except ValidationError:
        logging.getLogger("uvicorn.error").exception("failed")


def log(
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[], None] = log_lines,
    *,
    server_level: str | None = None,
    **variables: str,
) -> str:
    """Return what is printed, as in a process that serves and has not configured logging before."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with unconfigured_logging(), redirect_stderr(io.StringIO()) as printed:
        if server_level:
            # What `uvicorn --log-level` does before it imports the application.
            uvicorn.Config("app.main:create_app", log_level=server_level)
        configure_logs()
        with bound_contextvars(request_id="abc"):
            write()
    return printed.getvalue()


@contextmanager
def unconfigured_logging() -> Iterator[None]:
    """Take the handlers and levels of this process away, and restore them at the end."""
    levels = [logger.level for logger in LOGGERS]
    before = structlog.get_config()
    with pytest.MonkeyPatch.context() as patch:
        # Uvicorn's dictConfig would close the handlers of pytest.
        patch.setattr(logging, "shutdown", lambda _handlers: None)
        for logger in LOGGERS:
            patch.setattr(logger, "handlers", [])
            patch.setattr(logger, "propagate", True)
            logger.setLevel(logging.NOTSET)
        try:
            yield
        finally:
            structlog.configure(**before)
            for logger, level in zip(LOGGERS, levels, strict=True):
                logger.setLevel(level)


def test_every_log_line_is_json_with_its_request_id(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, failed = map(json.loads, log(monkeypatch).splitlines())
    assert (ours["event"], ours["level"], ours["number"]) == ("ours", "info", 1)
    assert (theirs["event"], theirs["logger"]) == ("theirs too", "library")
    assert "ValueError: wrong" in failed["exception"]
    assert "s3cret" not in str(failed)
    for line in (ours, theirs, failed):
        assert line["request_id"] == "abc"
        assert line["timestamp"].endswith("Z")


def test_console_format_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = log(monkeypatch, LOG_FORMAT="console", LOG_LEVEL="WARNING")
    assert "theirs too" in printed
    assert "ours" not in printed
    assert "Traceback" in printed
    assert "{" not in printed


def test_an_invalid_log_level_prevents_startup_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    with pytest.raises(SettingsError, match=r"^LOG_LEVEL='LOUD': .+\Z"):
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
def test_uvicorns_log_level_option_takes_precedence(
    monkeypatch: pytest.MonkeyPatch, option: str, variable: str, lines: list[str]
) -> None:
    printed = log(monkeypatch, server_level=option, LOG_LEVEL=variable)
    assert [json.loads(line)["event"] for line in printed.splitlines()] == lines


@pytest.mark.parametrize("form", ["json", "console"])
def test_logs_contain_no_control_characters_or_invalid_values(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    printed = log(monkeypatch, log_hostile_values, LOG_FORMAT=form)
    assert {character for character in printed if not character.isprintable()} == {"\n"}
    assert "[2J" in printed
    assert "color_message" not in printed
    assert "pydantic_core._pydantic_core.ValidationError" in printed
    assert "input_type=str" in printed
    assert "s3cret" not in printed
