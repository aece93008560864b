"""A render of the version of the template that an answers file names."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tools.updates import git_settings
from tools.updates.repository import ANSWERS, PROJECT_ROOT, UpdateError


def parse_answers(answers_file: bytes) -> dict[str, Any]:
    """Return the answers of an answers file; raise UpdateError if it is invalid."""
    try:
        answers: dict[str, Any] = yaml.safe_load(answers_file) or {}
    except yaml.YAMLError as error:
        raise UpdateError(f"{ANSWERS} is invalid: {error}") from None
    return answers


def render_version(answers: Mapping[str, Any]) -> dict[str, bytes]:
    """Render the version and the answers of an answers file; return the files by their paths.

    Raises UpdateError if they name no version, or the template is unreachable.
    """
    if not (version := answers.get("_commit")) or not (address := answers.get("_src_path")):
        raise UpdateError(
            f"{ANSWERS} is not committed, or names no version of the template; restore it from the"
            f" history: git log -- {ANSWERS}. Answers in a file of another name are not supported."
        )
    with TemporaryDirectory(prefix="update-", ignore_cleanup_errors=True) as folder:
        data, rendered = Path(folder) / "answers.json", Path(folder) / "rendered"
        data.write_text(json.dumps({k: v for k, v in answers.items() if k != "_checksum"}), "utf-8")
        copy = ("copy", "--defaults", "--quiet", "--vcs-ref", str(version), "--data-file")
        try:
            run_copier(*copy, str(data), str(address), str(rendered))
        except UpdateError as error:
            reason = f"version {version} of {address} cannot be rendered: {error}"
            raise UpdateError(reason) from None
        return {
            file.relative_to(rendered).as_posix(): file.read_bytes()
            for file in rendered.rglob("*")
            if file.is_file()
        }


def run_copier(*arguments: str) -> str:
    """Return what Copier prints; raise UpdateError with that if it fails."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "copier", *arguments],
        # Arguments and the template's address may be relative to the project.
        cwd=PROJECT_ROOT,
        env=os.environ | git_settings.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    printed = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        # Without the traceback, which ends with the class and the message of the error.
        reason = re.split(r"^[\w.]+(?:Error|Exception): ", printed, flags=re.MULTILINE)[-1]
        raise UpdateError(f"copier {arguments[0]}: {reason.strip()}")
    return printed
