"""CORS: the origins that may call this API from a browser; none by default."""

import re
from functools import reduce
from typing import Annotated

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from app.core.settings import CommaSeparated, EnvironmentSettings, read_settings

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+", re.IGNORECASE)

# A pattern that matches only a literal domain and its subdomains: the domain comes after `//`, or
# after a dot that ends a label. `.*example\.com` would match evilexample.com as well.
DOMAIN_PATTERN = r"""
    https?(\?)?://
    (
        LABELS
        | \((\?:|(?!\?)) LABELS \)(\?|\*|\+|\{\d*,?\d*\})?      # optional
    )?
    ([a-z0-9-]+(\\\.[a-z0-9-]+)+ | localhost)
    (:\d+ | (\((\?:)?)? :(\\d|\[0-9\])(\+|\*|\{\d*,?\d*\}) (\)\??)?)?
"""
# Subdomain labels with their dot. A wildcard must be followed by a dot: `.*example\.co\.uk` would
# match evilexample.co.uk.
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
SAFE_ALTERNATIVE = reduce(lambda text, part: text.replace(*part), PARTS.items(), DOMAIN_PATTERN)
SAFE_PATTERN = re.compile(
    rf"\^? {SAFE_ALTERNATIVE} (\|{SAFE_ALTERNATIVE})* \$?", re.VERBOSE | re.IGNORECASE
)


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(
                f"invalid origin {origin!r}; expected a scheme and host without a path, such as"
                " https://example.com"
            )
    return origins


class CORSSettings(EnvironmentSettings, env_prefix="CORS_"):
    # The names are those of the parameters of CORSMiddleware.
    allow_origins: Annotated[CommaSeparated, AfterValidator(check_origins)] = ()
    """Origins such as https://example.com; * allows any."""
    allow_origin_regex: re.Pattern[str] | None = None
    """Regular expression that allowed origins match in full."""
    allow_credentials: bool = False
    """Whether the browser sends cookies."""
    allow_methods: CommaSeparated = ("*",)
    """Methods of cross-origin requests; * allows any."""
    allow_headers: CommaSeparated = ("*",)
    """Headers of cross-origin requests; * allows any."""
    expose_headers: CommaSeparated = ("ETag", "Link", "Location", "Retry-After", "X-Request-ID")
    """Response headers that scripts may read."""
    max_age: int = Field(default=600, ge=0)
    """Seconds for which browsers cache the response to a preflight request."""

    @field_validator("allow_credentials")
    @classmethod
    def _reject_unsafe_origins(cls, value: bool, info: ValidationInfo) -> bool:
        if value and "*" in info.data.get("allow_origins", ()):
            raise ValueError(
                "not allowed with CORS_ALLOW_ORIGINS=*: any site could send requests with its"
                " visitors' credentials; list the origins"
            )
        regex: re.Pattern[str] | None = info.data.get("allow_origin_regex")
        if value and regex and not SAFE_PATTERN.fullmatch(regex.pattern):
            raise ValueError(
                f"not allowed with CORS_ALLOW_ORIGIN_REGEX={regex.pattern!r}: it can match other"
                " sites, which could then send requests with their visitors' credentials; end it"
                r" with a literal domain after '//' or '\.', such as"
                r" https://([a-z0-9-]+\.)?example\.com"
            )
        return value


def install_cors(app: FastAPI) -> None:
    """Allow the configured origins, if any; raises SettingsError."""
    settings = read_settings(CORSSettings)
    if not settings.allow_origins and not settings.allow_origin_regex:
        return
    app.add_middleware(CORSMiddleware, **settings.model_dump())
