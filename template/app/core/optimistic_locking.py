"""Optimistic locking with `ETag`, `If-Match` (412) and `If-None-Match` (304)."""

from typing import Annotated, TypeAlias, TypeVar

from fastapi import Header, Response

from app.core.database import StoredRow
from app.core.database_errors import PreconditionFailedError
from app.core.errors import AppError
from app.core.models import Versioned

VersionedT = TypeVar("VersionedT", bound=Versioned | StoredRow)


class NotModifiedError(AppError):
    """The client already has this version."""

    status = 304  # type: ignore[assignment]

    def __init__(self, etag: str) -> None:
        super().__init__("")
        self.headers = {"ETag": etag}


def entity_tag(entity: Versioned | StoredRow) -> str:
    """Return the strong `ETag` of an entity."""
    return f'"{entity.version}"'


def check_version(entity: Versioned, if_match: str | None) -> None:
    """Raise PreconditionFailedError if `If-Match` does not list the entity's version."""
    if if_match is not None and if_match != "*" and entity_tag(entity) not in _split(if_match):
        raise PreconditionFailedError


def _split(header: str) -> set[str]:
    return {etag.strip() for etag in header.split(",")}


IfMatch: TypeAlias = Annotated[
    str | None, Header(description="`ETag` of the version to change; 412 if it has changed")
]
IfNoneMatch: TypeAlias = Annotated[
    str | None, Header(description="`ETag` of a known version; 304 if the resource still has it")
]


def set_etag(
    response: Response, entity: VersionedT, if_none_match: str | None = None
) -> VersionedT:
    """Set the `ETag` of a response to the version of an entity, and return the entity.

    Raises NotModifiedError if `If-None-Match` lists this version.
    """
    etag = entity_tag(entity)
    response.headers["ETag"] = etag
    if if_none_match is not None:
        known = {one.removeprefix("W/") for one in _split(if_none_match)}
        if known & {etag, "*"}:
            raise NotModifiedError(etag)
    return entity
