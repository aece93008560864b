"""Types of settings about a provider."""

from typing import Annotated, TypeAlias

from joserfc.jws import JWSRegistry
from pydantic import AfterValidator, Field

from app.core.openid.urls import check_provider_url
from app.core.settings import CommaSeparated

# Anyone who can verify a symmetric signature can forge one.
ALGORITHMS = [
    name
    for name, algorithm in JWSRegistry.algorithms.items()
    if name != "none" and algorithm.key_type != "oct"
]


def check_issuer(issuer: str) -> str:
    check_provider_url(issuer)
    if "?" in issuer:
        raise ValueError("expected a URL without a query, exactly as in the tokens' claim `iss`")
    return issuer


def check_algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in ALGORITHMS:
            raise ValueError(
                f"{name!r} is not an asymmetric signature algorithm; expected some of"
                f" {', '.join(ALGORITHMS)}"
            )
    return names


Issuer: TypeAlias = Annotated[str, AfterValidator(check_issuer)]
Algorithms: TypeAlias = Annotated[
    CommaSeparated, Field(min_length=1), AfterValidator(check_algorithms)
]
