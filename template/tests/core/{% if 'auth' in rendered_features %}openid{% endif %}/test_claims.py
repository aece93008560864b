"""What is wrong with claims, in words for readers of the audit log."""

from time import time
from typing import Any

import pytest
from joserfc.jwt import JWTClaimsRegistry

from app.core.openid.claims import check_claims
from app.core.openid.signed_tokens import TokenError

EXPECTED = JWTClaimsRegistry(
    None,
    30,
    iss={"essential": True, "value": "https://id.example.com"},
    aud={"essential": True, "value": "api"},
    exp={"essential": True},
)


def claims_of(**changes: Any) -> dict[str, Any]:
    """Return claims as expected, with changes; numbers are seconds from now, and None omits one."""
    claims = {"iss": "https://id.example.com", "aud": "api", "exp": 60} | changes
    now = int(time())
    return {
        name: now + value if isinstance(value, int) else value
        for name, value in claims.items()
        if value is not None
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example"}, "is from another issuer"),
        ({"iss": None}, "lacks a required claim: iss"),
        ({"aud": ["other"]}, "is meant for another audience, according to its `aud`"),
        ({"exp": -60}, "has expired"),
        ({"exp": "never"}, "has an invalid `exp`"),
        ({"nbf": 600}, "is not valid yet, or has an invalid `nbf`"),
        ({"iat": 600}, "was issued in the future, or has an invalid `iat`"),
    ],
)
def test_the_reason_names_the_claim(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(TokenError) as error:
        check_claims(claims_of(**changes), EXPECTED)
    assert str(error.value) == reason


def test_all_missing_claims_are_named() -> None:
    with pytest.raises(TokenError, match=r"^lacks a required claim: (iss, aud|aud, iss)$"):
        check_claims(claims_of(iss=None, aud=None), EXPECTED)


@pytest.mark.parametrize("changes", [{}, {"exp": -5}, {"iat": 5}, {"nbf": 5}])
def test_clocks_may_differ_by_seconds(changes: dict[str, Any]) -> None:
    check_claims(claims_of(**changes), EXPECTED)


def test_the_audience_can_be_in_another_claim() -> None:
    expected = JWTClaimsRegistry(None, 30, client_id={"essential": True, "value": "cli"})
    check_claims({"client_id": "cli"}, expected, "client_id")
    with pytest.raises(TokenError, match="another audience, according to its `client_id`"):
        check_claims({"client_id": "evil"}, expected, "client_id")
