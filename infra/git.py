"""A git command in a clone -> what it says."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class GitError(RuntimeError):
    """git is missing or refuses; the message says why."""


def git(
    clone: Path, *arguments: str, environment: Mapping[str, str] | None = None, text: str = "", may_fail: bool = False
) -> str:
    """What git says in a clone; nothing, if it refuses and may.

    Raises:
        GitError: git is missing, or refuses and may not.
    """
    try:
        done = subprocess.run(
            # Hooks are the user's: DVC's own would check out data into a workspace that is still being made.
            ["git", "-c", "core.quotepath=off", "-c", "core.hooksPath=/dev/null", *arguments],
            cwd=clone,
            env={**os.environ, **(environment or {})},
            input=os.fsencode(text),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise GitError("git is not installed, and every run names its commit; type: apt-get install git") from None
    if done.returncode and not may_fail:
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(f"git {arguments[0]} in {clone} failed: {said}; a workspace is a git clone")
    return os.fsdecode(done.stdout)  # file names and patches need not be UTF-8
