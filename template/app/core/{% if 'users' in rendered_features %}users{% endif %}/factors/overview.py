"""What callers see of their own second factors."""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select

from app.core.auth.principal import Principal
from app.core.database import Session, read_rows
from app.core.users.caller_session import require_session
from app.core.users.factors.passkeys import list_passkeys
from app.core.users.factors.settings import get_factor_settings
from app.core.users.tables import RECOVERY_CODES, TOTP_APPS

APP = select(TOTP_APPS.c.confirmed_at).where(
    TOTP_APPS.c.user_id == bindparam("wanted"), TOTP_APPS.c.confirmed_at.is_not(None)
)
CODES_LEFT = select(func.count().label("left")).where(
    RECOVERY_CODES.c.user_id == bindparam("wanted")
)


async def get_overview(session: Session, principal: Principal) -> dict[str, Any]:
    """Return the caller's factors; raises SessionRequiredError for one without a session."""
    require_session(principal)
    user_id = UUID(principal.id)
    apps = await read_rows(session, APP, {"wanted": user_id})
    codes = await read_rows(session, CODES_LEFT, {"wanted": user_id})
    return {
        "is_required": get_factor_settings().second_factor == "required",
        "totp": apps[0] if apps else None,
        "passkeys": await list_passkeys(session, user_id),
        "recovery_codes_left": codes[0].left,
    }
