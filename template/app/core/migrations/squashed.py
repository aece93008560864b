"""What to do with a database at a revision that `nox -s squash` has replaced."""

from alembic.runtime.migration import MigrationContext
from alembic.script import Script


def explain_squashed(context: MigrationContext) -> str | None:
    """Return why a database, or the target of a command, is not known any more; or None."""
    if context.environment_context is None or context.as_sql:
        return None
    scripts = context.environment_context.script
    bases: dict[str, Script] = {
        name: script
        for script in scripts.walk_revisions()
        for name in getattr(script.module, "replaces", ())
    }
    for name in context.get_current_heads():
        if base := bases.get(name):
            return (
                f"The database is at revision {name}, which was squashed into {base.revision}"
                f" ({base.path}). This release can only upgrade databases that are at"
                f" {base.revision} or later. Run `alembic upgrade {base.revision}` with a release"
                " from before the squash, then this command again. Its last commit is the parent"
                " of the one that `git log --diff-filter=D -- alembic/versions` shows."
            )
    target = str(context.opts.get("destination_rev"))
    if base := bases.get(target):
        return f"Revision {target} was squashed into {base.revision} ({base.path})."
    return None
