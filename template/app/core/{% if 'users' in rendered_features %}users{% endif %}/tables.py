"""The tables of the models, for statements that need no objects."""

from typing import cast

from sqlalchemy import Table

from app.core.users.models import (
    UserAccount,
    UserApiKey,
    UserChallenge,
    UserIdentity,
    UserPasskey,
    UserProviderLogin,
    UserRecoveryCode,
    UserSession,
    UserThrottle,
    UserToken,
    UserTOTP,
)

ACCOUNTS = cast(Table, UserAccount.__table__)
API_KEYS = cast(Table, UserApiKey.__table__)
CHALLENGES = cast(Table, UserChallenge.__table__)
IDENTITIES = cast(Table, UserIdentity.__table__)
PASSKEYS = cast(Table, UserPasskey.__table__)
PROVIDER_LOGINS = cast(Table, UserProviderLogin.__table__)
RECOVERY_CODES = cast(Table, UserRecoveryCode.__table__)
SESSIONS = cast(Table, UserSession.__table__)
TOTP_APPS = cast(Table, UserTOTP.__table__)
THROTTLES = cast(Table, UserThrottle.__table__)
ONE_TIME_TOKENS = cast(Table, UserToken.__table__)
