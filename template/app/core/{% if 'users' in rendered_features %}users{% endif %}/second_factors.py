"""Second factors of accounts."""

from app.core.database import Session
from app.core.users.models import UserAccount


async def second_factors(_session: Session, _account: UserAccount) -> list[str]:
    """Return the names of the factors of which a login must prove one; [] if there are none."""
    return []
