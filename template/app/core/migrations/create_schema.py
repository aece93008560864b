"""The operations that create and drop schemas, which Alembic does not generate."""

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateTableOp, MigrateOperation, UpgradeOps
from alembic.util import PriorityDispatchResult


class CreateSchemaOp(MigrateOperation):
    """Create a schema."""

    def __init__(self, name: str) -> None:
        self.name = name

    def reverse(self) -> MigrateOperation:
        return DropSchemaOp(self.name)

    def to_diff_tuple(self) -> tuple[str, str]:
        return ("create_schema", self.name)


class DropSchemaOp(MigrateOperation):
    """Drop a schema that this revision created; the database rejects it unless it is empty."""

    def __init__(self, name: str) -> None:
        self.name = name

    def reverse(self) -> MigrateOperation:
        return CreateSchemaOp(self.name)

    def to_diff_tuple(self) -> tuple[str, str]:
        return ("drop_schema", self.name)


@render.renderers.dispatch_for(CreateSchemaOp)
def render_create_schema(context: AutogenContext, op: CreateSchemaOp) -> str:
    """Return the statement in a revision."""
    return _render("CreateSchema", op.name, context)


@render.renderers.dispatch_for(DropSchemaOp)
def render_drop_schema(context: AutogenContext, op: DropSchemaOp) -> str:
    """Return the statement in a revision."""
    return _render("DropSchema", op.name, context)


def _render(element: str, name: str, context: AutogenContext) -> str:
    prefix = render._alembic_autogenerate_prefix(context)
    sqlalchemy = render._sqlalchemy_autogenerate_prefix(context)
    return f"{prefix}execute({sqlalchemy}schema.{element}({name!r}))"


def create_missing_schemas(
    context: AutogenContext, operations: UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Create the schemas of new tables before everything else."""
    named = {op.schema for op in operations.ops if isinstance(op, CreateTableOp) and op.schema}
    if named:
        missing = named.difference(context.inspector.get_schema_names())
        operations.ops[:0] = map(CreateSchemaOp, sorted(missing))
    return PriorityDispatchResult.CONTINUE
