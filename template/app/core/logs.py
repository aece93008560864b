"""Structured logs on stderr: lines of JSON for machines, readable ones for people at a terminal."""

import json
import logging
import sys
from typing import Any, Literal

import structlog
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.settings import FROM_ENVIRONMENT, read_settings


class LogSettings(BaseSettings):
    model_config = FROM_ENVIRONMENT | SettingsConfigDict(env_prefix="LOG_")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is `console` at a terminal, else `json`."""


def configure_logs(*, serving: bool = True) -> None:
    """Give one form to everything that is logged: by structlog, by `logging`, by the server.

    A process that does not serve, as that of the tests, keeps its own.
    Raises SettingsError for a variable that is malformed.
    """
    if not serving:
        return
    settings = read_settings(LogSettings)
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        render: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        # Exceptions are told without their local variables, which hold secrets.
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dump)]
    structlog.configure(
        processors=[*common, *render],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        # Straight to the stream: the way through `logging` costs twice as much.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _configure_logging(settings.level, [structlog.stdlib.add_logger_name, *common], render)


_encode = json.JSONEncoder(default=str, separators=(",", ":")).encode


def _dump(event: Any, **_options: Any) -> str:
    # Uvicorn says some things a second time, with codes of colours.
    event.pop("color_message", None)
    return _encode(event)


def _configure_logging(level: str, common: list[Any], render: list[Any]) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*common, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Uvicorn brings handlers and levels of its own, and an access log that ours replaces.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = name != "uvicorn.access"
