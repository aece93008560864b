"""Structured logs on stderr: JSON lines, or a readable format in a terminal."""

import json
import logging
import re
import sys
import traceback
from typing import Any, Literal

import structlog

from app.core.settings import EnvironmentSettings, read_settings


class LogSettings(EnvironmentSettings, env_prefix="LOG_"):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """Uvicorn's `--log-level` takes precedence, unless it is `info`, its default."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is `console` in a terminal, otherwise `json`."""


def configure_logs() -> None:
    """Use one format for the logs of structlog, `logging` and the server.

    Raises SettingsError for an invalid variable.
    """
    settings = read_settings(LogSettings)
    level = _server_level() or settings.level
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Any] = [_drop_color_message, structlog.processors.ExceptionRenderer(_traceback)]
    if console:
        render += [_escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        render += [structlog.processors.JSONRenderer(_dump)]
    structlog.configure(
        processors=[*common, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Directly to the stream: through `logging`, a line costs twice as much.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _configure_logging(level, [structlog.stdlib.add_logger_name, *common], render)


def _server_level() -> str | None:
    """Return the level set by `uvicorn --log-level`; None if it is unset or the default."""
    level = logging.getLogger("uvicorn.error").level
    if level in (logging.NOTSET, logging.INFO):
        return None
    # Uvicorn has its own level below DEBUG.
    name: str = logging.getLevelName(max(level, logging.DEBUG))
    return name


def _drop_color_message(_logger: Any, _method: str, event: Any) -> Any:
    # Uvicorn repeats some messages with escape sequences for colors.
    event.pop("color_message", None)
    return event


# The invalid value that Pydantic quotes.
INPUT_VALUE = re.compile(r"input_value=.*, (?=input_type=)")


def _traceback(exc_info: Any) -> str:
    """Return a traceback without local variables and invalid values, which may be secrets."""
    return INPUT_VALUE.sub("", "".join(traceback.format_exception(*exc_info)).rstrip())


def _escape(_logger: Any, _method: str, event: Any) -> Any:
    """Escape control characters, which the terminal would interpret."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(map(_escape_character, value.rstrip("\n")))
    return event


def _escape_character(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode()


_encode = json.JSONEncoder(default=str, separators=(",", ":")).encode


def _dump(event: Any, **_options: Any) -> str:
    return _encode(event)


def _configure_logging(level: str, common: list[Any], render: list[Any]) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*common, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Replaces Uvicorn's handlers, levels and access log.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        if logger.level == logging.INFO:
            logger.setLevel(logging.NOTSET)
        logger.propagate = name != "uvicorn.access"
