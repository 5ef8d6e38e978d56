"""The code of a run, so that it can be had again: the git commit and a patch of all that was not committed."""

import base64
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.git import GitError
from infra.git import git as ask_git
from tasks.report import StepError

# In the record in full, and changed by every run.
_ELSEWHERE = ("dvc.lock", "params.yaml")
# A larger new file is data that someone forgot to ignore, not code; it is named instead.
_LARGEST_BYTES = 2**20


class CodeState(BaseModel):
    """`git apply` of the patch on the commit (on an empty tree when null) gives the code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str | None = Field(description="null: nothing was ever committed")
    patch: str = Field(description="uncommitted changes, new files included; empty: there were none")
    patch_encoding: Literal["utf-8", "base64"] = Field(description="base64 where a file is not UTF-8")
    left_out: dict[str, int] = Field(description="new files too large for code, and their bytes")

    @property
    def is_committed(self) -> bool:
        """Whether the commit alone is the code."""
        return not self.patch and not self.left_out and self.commit is not None


def is_only_here(clone: Path, commit: str) -> bool:
    """Whether a clone has remotes and, as far as it knows, none of them has the commit.

    Raises:
        StepError: git is missing or refuses.
    """
    has_remotes = bool(git(clone, "remote").split())
    return has_remotes and not git(clone, "branch", "--remotes", "--contains", commit).strip()


def code_state(workspace: Path) -> CodeState:
    """Commit and uncommitted changes of a clone; its index stays as it is.

    Raises:
        StepError: git is missing or refuses.
    """
    head = git(workspace, "rev-parse", "--verify", "--quiet", "HEAD", may_fail=True).strip()
    base = head or git(workspace, "hash-object", "-t", "tree", "/dev/null").strip()
    new, left_out = [], {}
    for name in git(workspace, "ls-files", "--others", "--exclude-standard", "-z").split("\0"):
        path = workspace / name
        if not name or not (path.is_file() or path.is_symlink()):
            continue
        size = path.lstat().st_size
        if size > _LARGEST_BYTES:
            left_out[os.fsencode(name).decode(errors="replace")] = size
        else:
            new.append(name)
    patch, encoding = _printable(os.fsencode(_patch(workspace, base, new)))
    return CodeState(commit=head or None, patch=patch, patch_encoding=encoding, left_out=left_out)


def patch_bytes(code: CodeState) -> bytes:
    """The patch as git wrote it."""
    return base64.b64decode(code.patch) if code.patch_encoding == "base64" else code.patch.encode()


def _printable(patch: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    try:
        return patch.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(patch).decode(), "base64"


def _patch(workspace: Path, base: str, new: list[str]) -> str:
    """Difference to `base`, with the new files announced in a copy of the index."""
    index = Path(git(workspace, "rev-parse", "--path-format=absolute", "--git-path", "index").strip())
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "index"
        if index.exists():
            shutil.copyfile(index, copy)
        if new:
            git(workspace, "add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul",
                 index=copy, text="\0".join(new))  # fmt: skip
        exclude = [f":(exclude,top){name}" for name in _ELSEWHERE]
        options = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv")
        return git(workspace, "diff", *options, base, "--", ".", *exclude, index=copy)


def git(
    workspace: Path,
    *arguments: str,
    index: Path | None = None,
    text: str = "",
    may_fail: bool = False,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What git says in a clone.

    Raises:
        StepError: git is missing or refuses.
    """
    environment = {**(environment or {}), **({"GIT_INDEX_FILE": str(index)} if index else {})}
    try:
        return ask_git(workspace, *arguments, environment=environment, text=text, may_fail=may_fail)
    except GitError as error:
        raise StepError(str(error)) from None
