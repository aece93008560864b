"""The commit that the running code was built from, and the revisions added since then."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from app.core.settings import PROJECT_ROOT

DEFAULT_BRANCHES = ("origin/HEAD", "origin/main", "main")


class BaseCommitError(RuntimeError):
    """The base commit cannot be determined, or has revisions that the working tree lacks."""


class GitError(BaseCommitError):
    """git failed; the message is its own."""


def git(*arguments: str) -> str:
    """Return what git prints in the project folder; raise GitError if it fails."""
    try:
        # No hook of the developer runs for a temporary worktree.
        command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
        done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise GitError("git is not on the PATH; install it") from None
    except subprocess.CalledProcessError as error:
        raise GitError(f"git {arguments[0]}: {error.stderr.strip()}") from None
    return done.stdout


def find_base(name: str | None = None) -> str:
    """Return the hash of a commit; by default, of where this branch left the base branch.

    Raises BaseCommitError if there is no such commit.
    """
    git("rev-parse", "--show-toplevel")
    if name is not None:
        if not (commit := _find_commit(name)):
            raise BaseCommitError(
                f"{name}: no such branch or commit in {PROJECT_ROOT}; fetch it with git fetch, or"
                " correct the name"
            )
        return commit
    for branch in filter(_find_commit, DEFAULT_BRANCHES):
        with suppress(GitError):
            return git("merge-base", branch, "HEAD").strip()
    raise BaseCommitError(
        f"No base branch: none of {', '.join(DEFAULT_BRANCHES)} has a commit in common with HEAD."
        " Commit first, fetch the base branch (with its history, in a shallow clone), or add the"
        " name of a branch to the command: -- NAME"
    )


def _find_commit(name: str) -> str | None:
    with suppress(GitError):
        return git("rev-parse", "--verify", "--quiet", name + "^{commit}").strip()
    return None


def find_new_revisions(base: str) -> list[Script]:
    """Return the revisions whose files are not in a commit, each after those that it follows.

    Raises BaseCommitError if the commit has revisions that are still to be merged.
    """
    # In a subfolder of a repository, git lists the files of that folder, relative to it.
    tracked = set(git("ls-tree", "-r", "-z", "--name-only", base).split("\0"))
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    files = {_relative_path(script): script for script in scripts.walk_revisions()}
    folders = {Path(file).parent for file in files}
    known = {file for file in tracked if Path(file).parent in folders and file.endswith(".py")}
    if (missing := known - files.keys()) and not _is_merged(base):
        raise BaseCommitError(
            f"{base[:12]} has revisions that this branch lacks: {', '.join(sorted(missing))}."
            " Merge or rebase first, so that the new revisions follow them"
        )
    return [files[file] for file in reversed(files) if file not in tracked]


def _relative_path(script: Script) -> str:
    return Path(script.path).resolve().relative_to(PROJECT_ROOT).as_posix()


def _is_merged(commit: str) -> bool:
    with suppress(GitError):
        git("merge-base", "--is-ancestor", commit, "HEAD")
        return True
    return False


@contextmanager
def check_out(commit: str) -> Iterator[Path]:
    """Yield the project's folder in a temporary worktree of a commit, removed at the end."""
    prefix = git("rev-parse", "--show-prefix").strip()
    with TemporaryDirectory(prefix="base-", ignore_cleanup_errors=True) as folder:
        worktree = Path(folder).resolve() / "worktree"
        try:
            git("worktree", "add", "--quiet", "--detach", str(worktree), commit)
            yield worktree / prefix
        finally:
            with suppress(GitError):
                git("worktree", "remove", "--force", str(worktree))
