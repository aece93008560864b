"""Operations of administrators on the accounts of others."""

from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import Depends, Query, Response

from app.core.auth.requirements import Caller, require
from app.core.database import SessionDep, StoredRow
from app.core.optimistic_locking import IfMatch, IfNoneMatch, set_etag
from app.core.pagination import Page, PageResult
from app.core.routing import APIRouter
from app.core.users import permissions
from app.core.users.administration import UserAdministration
from app.core.users.dependencies import RolesDep
from app.core.users.models import UserAccount
from app.core.users.schemas import InvitationRequest, RolesUpdate, UserAccountRead, UserQuery

router = APIRouter(prefix="/api/v1/users", tags=["user"])
READ = [require(permissions.READ)]
WRITE = [require(permissions.WRITE)]


async def get_administration(
    session: SessionDep, caller: Caller, roles: RolesDep
) -> UserAdministration:
    return UserAdministration(session, caller, roles)


Administration: TypeAlias = Annotated[UserAdministration, Depends(get_administration)]


@router.post(
    "", summary="Invite a user", status_code=201, response_model=UserAccountRead, dependencies=WRITE
)
async def invite(users: Administration, data: InvitationRequest, response: Response) -> UserAccount:
    """Create an account, and send a mail with a link that sets its password.

    With roles, it needs a recent login.
    """
    return set_etag(response, await users.invite(data.email, data.roles))


@router.get(
    "",
    name="list",
    summary="List accounts",
    response_model=Page[UserAccountRead],
    dependencies=READ,
)
async def list_(
    users: Administration, query: Annotated[UserQuery, Query()]
) -> PageResult[StoredRow]:
    return await users.list_rows(query)


@router.get(
    "/{user_id:uuid}",
    summary="Get an account",
    response_model=UserAccountRead,
    dependencies=READ,
)
async def get(
    users: Administration, user_id: UUID, response: Response, if_none_match: IfNoneMatch = None
) -> StoredRow:
    return set_etag(response, await users.get_row(user_id), if_none_match)


@router.patch(
    "/{user_id:uuid}",
    summary="Update an account",
    response_model=UserAccountRead,
    dependencies=WRITE,
)
async def update(
    users: Administration,
    user_id: UUID,
    data: RolesUpdate,
    response: Response,
    if_match: IfMatch = None,
) -> UserAccount:
    """Set the roles of an account; needs a recent login."""
    return set_etag(response, await users.set_roles(user_id, data.roles, if_match))


@router.delete("/{user_id:uuid}", summary="Delete an account", status_code=204, dependencies=WRITE)
async def delete(users: Administration, user_id: UUID, if_match: IfMatch = None) -> None:
    """Delete an account; needs a recent login."""
    await users.delete(user_id, if_match)


@router.post(
    "/{user_id:uuid}/deactivate",
    summary="Deactivate an account",
    response_model=UserAccountRead,
    dependencies=WRITE,
)
async def deactivate(users: Administration, user_id: UUID, response: Response) -> UserAccount:
    """Reject logins to an account, and end its sessions."""
    return set_etag(response, await users.deactivate(user_id))


@router.post(
    "/{user_id:uuid}/activate",
    summary="Activate an account",
    response_model=UserAccountRead,
    dependencies=WRITE,
)
async def activate(users: Administration, user_id: UUID, response: Response) -> UserAccount:
    """Accept logins to a deactivated account again; needs a recent login."""
    return set_etag(response, await users.activate(user_id))


@router.delete("/{user_id:uuid}/second-factors", status_code=204, dependencies=WRITE)
async def reset_second_factors(users: Administration, user_id: UUID) -> None:
    """Delete all second factors of an account that has lost them, and end its sessions.

    Needs a recent login.
    """
    await users.reset_second_factors(user_id)


@router.delete("/{user_id:uuid}/sessions", status_code=204, dependencies=WRITE)
async def end_sessions(users: Administration, user_id: UUID) -> None:
    """End all sessions of an account."""
    await users.end_sessions(user_id)
