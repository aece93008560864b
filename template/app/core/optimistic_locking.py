"""A lost update is a 412: the conditions that requests put on the versions of entities."""

from typing import Annotated, TypeAlias, TypeVar

from fastapi import Header, Response

from app.core.database import StoredRow
from app.core.database_errors import ChangedError
from app.core.errors import AppError
from app.core.models import Versioned

VersionedT = TypeVar("VersionedT", bound=Versioned | StoredRow)


class NotModifiedError(AppError):
    """The client has this version already."""

    status = 304  # type: ignore[assignment]

    def __init__(self, tag: str) -> None:
        super().__init__("")
        self.headers = {"ETag": tag}


def entity_tag(entity: Versioned | StoredRow) -> str:
    """Return the strong `ETag` of an entity."""
    return f'"{entity.version}"'


def check_version(entity: Versioned, if_match: str | None) -> None:
    """Raise ChangedError unless an entity has one of the versions that `If-Match` lists."""
    if if_match is not None and if_match != "*" and entity_tag(entity) not in _listed(if_match):
        raise ChangedError


def _listed(tags: str) -> set[str]:
    return {tag.strip() for tag in tags.split(",")}


IfMatch: TypeAlias = Annotated[
    str | None, Header(description="The `ETag` that was read; another version is a 412")
]
IfNoneMatch: TypeAlias = Annotated[
    str | None, Header(description="The `ETag` that is known already; it is a 304")
]


def tag(response: Response, entity: VersionedT, if_none_match: str | None = None) -> VersionedT:
    """Give a response the `ETag` of the entity that it carries, and return the entity.

    Raises NotModifiedError if `If-None-Match` says that the client knows it.
    """
    version = entity_tag(entity)
    response.headers["ETag"] = version
    if if_none_match is not None:
        known = {one.removeprefix("W/") for one in _listed(if_none_match)}
        if known & {version, "*"}:
            raise NotModifiedError(version)
    return entity
