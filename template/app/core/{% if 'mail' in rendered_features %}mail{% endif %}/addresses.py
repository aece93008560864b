"""Mail addresses, in settings and in the schemas of modules."""

import re
from typing import Annotated

from pydantic import AfterValidator

# ASCII only: many servers accept no other; domains can be written as xn--…. Without =?, which
# begins an encoded word: Python would decode it, also to several addresses.
ADDRESS = re.compile(
    r"(?!.*=\?)[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)*", re.I | re.A
)


def check_address(text: str) -> str:
    """Return the text; raises ValueError unless it is one address without a display name."""
    if not ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is not a mail address such as bob@example.com")
    return text


MailAddress = Annotated[str, AfterValidator(check_address)]
