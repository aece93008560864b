"""CORS: which other origins may call this API from a browser; none by default."""

import re
from functools import reduce
from typing import Annotated

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.settings import FROM_ENVIRONMENT, CommaSeparated, read_settings

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+", re.IGNORECASE)

# A pattern that matches only a literal domain and its subdomains: the domain comes after `//`, or
# after a dot that ends a label. `.*example\.com` would match evilexample.com as well.
BELOW_A_DOMAIN = r"""
    https?(\?)?://
    (
        LABELS
        | \((\?:|(?!\?)) LABELS \)(\?|\*|\+|\{\d*,?\d*\})?      # optional
    )?
    ([a-z0-9-]+(\\\.[a-z0-9-]+)+ | localhost)
    (:\d+ | (\((\?:)?)? :(\\d|\[0-9\])(\+|\*|\{\d*,?\d*\}) (\)\??)?)?
"""
# Labels before it, with the dot: literal ones, or any that a wildcard ends, because what follows a
# wildcard without a dot in between, as in `.*example\.co\.uk`, is no label.
LABELS = r"""
    ( (LITERAL | WILDCARD)* WILDCARD (\?|\*|\+|\{\d*,?\d*\})?
      | [a-z0-9-]+(\\\.[a-z0-9-]+)* ) \\\.
"""
PARTS = {
    "LABELS": LABELS,
    "LITERAL": r"([^\\()|[.] | \\[^dw])",
    # A character, a class, or a group without nested groups.
    "WILDCARD": r"(\. | \\[dw] | \[\^?\]?([^\]\\]|\\.)*\] | \((\?:|(?!\?)) ([^\\()] | \\.)* \))",
}
SAFE_ALTERNATIVE = reduce(lambda text, part: text.replace(*part), PARTS.items(), BELOW_A_DOMAIN)
SAFE_PATTERN = re.compile(
    rf"\^? {SAFE_ALTERNATIVE} (\|{SAFE_ALTERNATIVE})* \$?", re.VERBOSE | re.IGNORECASE
)


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin; write https://example.com, without a path")
    return origins


class CORSSettings(BaseSettings):
    model_config = FROM_ENVIRONMENT | SettingsConfigDict(env_prefix="CORS_")

    allow_origins: Annotated[CommaSeparated, AfterValidator(check_origins)] = ()
    """Origins as https://example.com; * is any."""
    allow_origin_regex: re.Pattern[str] | None = None
    """More origins: the whole of each matches this."""
    allow_credentials: bool = False
    """Whether the browser sends cookies."""
    allow_methods: CommaSeparated = ("*",)
    allow_headers: CommaSeparated = ("*",)
    expose_headers: CommaSeparated = ("ETag", "Link", "Location", "Retry-After", "X-Request-ID")
    """Headers of a response that scripts may read."""
    max_age: int = Field(default=600, ge=0)
    """Seconds for which a browser need not ask again."""

    @field_validator("allow_credentials")
    @classmethod
    def _refuse_for_any_origin(cls, value: bool, info: ValidationInfo) -> bool:
        if value and "*" in info.data.get("allow_origins", ()):
            raise ValueError("with CORS_ALLOW_ORIGINS=* any page could act as its visitor")
        regex: re.Pattern[str] | None = info.data.get("allow_origin_regex")
        if value and regex and not SAFE_PATTERN.fullmatch(regex.pattern):
            raise ValueError(
                f"CORS_ALLOW_ORIGIN_REGEX {regex.pattern!r} can match other sites, which"
                " could then send requests with their visitors' credentials; end it with a literal"
                r" domain after '//' or '\.', such as https://([a-z0-9-]+\.)?example\.com"
            )
        return value


def install_cors(app: FastAPI) -> None:
    """Answer browsers that ask for other origins; raises SettingsError."""
    settings = read_settings(CORSSettings)
    if not settings.allow_origins and not settings.allow_origin_regex:
        return
    regex = settings.allow_origin_regex
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allow_origins,
        allow_origin_regex=regex.pattern if regex else None,
        allow_credentials=settings.allow_credentials,
        allow_methods=settings.allow_methods,
        allow_headers=settings.allow_headers,
        expose_headers=settings.expose_headers,
        max_age=settings.max_age,
    )
