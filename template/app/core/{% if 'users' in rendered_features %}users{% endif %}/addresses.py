"""Addresses of accounts, which are unique without regard to case."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.core.mail.addresses import check_address


def normalize_email(address: str) -> str:
    """Return the form of an address that is stored and compared.

    Raises ValueError, without the text: people enter passwords into the wrong field.
    """
    try:
        # ASCII only, so that no other characters become equal.
        return check_address(address).lower()
    except ValueError:
        reason = "not a mail address such as ada@example.com"
        # A ValueError; of others, responses begin with "Value error, ".
        raise PydanticCustomError("email", reason) from None


Email = Annotated[
    str, AfterValidator(normalize_email), Field(max_length=254, examples=["ada@example.com"])
]
"""The address of an account in requests; letters become lower-case."""
