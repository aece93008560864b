"""The methods by which callers prove who they are, as sessions remember them."""

from collections.abc import Collection

from app.core.auth.errors import ForbiddenError
from app.core.users.factors.settings import get_factor_settings

PASSWORD = "password"  # noqa: S105
PROVIDER = "provider"
TOTP = "totp"
PASSKEY = "passkey"
RECOVERY_CODE = "recovery_code"
# What another OpenID Connect provider vouches for.
PROVIDER_SECOND_FACTOR = "provider_second_factor"
# A passkey alone logs in only if it has verified its user, by a PIN for example: two factors.
SECOND_FACTORS = frozenset({TOTP, PASSKEY, RECOVERY_CODE, PROVIDER_SECOND_FACTOR})


class SecondFactorRequiredError(ForbiddenError):
    """The session has proved one factor, and USERS_SECOND_FACTOR requires two."""

    headers = {"WWW-Authenticate": 'Bearer error="insufficient_user_authentication"'}

    def __init__(self) -> None:
        super().__init__("A second factor is required: add one, or log in with it.")


def has_second_factor(methods: Collection[str]) -> bool:
    return not SECOND_FACTORS.isdisjoint(methods)


def lacks_second_factor(methods: Collection[str]) -> bool:
    """Return whether a session proved less than USERS_SECOND_FACTOR requires."""
    return get_factor_settings().second_factor == "required" and not has_second_factor(methods)
