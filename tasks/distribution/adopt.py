"""A run that was made elsewhere -> params.yaml and dvc.lock of this workspace, and its outputs out of DVC's cache.

Nothing that is nowhere else is written over: a file of the workspace must be that of HEAD or of some run's ref.
"""

import difflib
import hashlib
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from infra.settings import Settings
from tasks.distribution.code_state import git
from tasks.distribution.run_record import ADOPTED, RUN_REFS, RunRecord, find_run, ref_of, require_commit
from tasks.report import StepError

_SHOWN_LINES = 40
_NAMED = 8


def adopt(settings: Settings, run: str, *, force: bool) -> RunRecord:
    """Bring a run's params.yaml and dvc.lock into the workspace, then its outputs. The caller holds the workspace.

    Args:
        settings: of the workspace.
        run: its name.
        force: write over changes that are nowhere else, and adopt a run of other code.

    Raises:
        StepError: no such run; something would be lost; the code is not the run's; an output is not in the cache.
    """
    record = find_run(settings, run)
    if not record.dvc_lock:
        raise StepError(f"run {record.run} ended before a step did ({record.said}): there is nothing to adopt")
    new = {"params.yaml": record.params, "dvc.lock": record.dvc_lock}
    if not force:
        _refuse_other_code(settings.workspace, record)
        _refuse_loss(settings.workspace, record, new)
    for name, text in new.items():
        fresh = settings.workspace / f".{name}.new"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(settings.workspace / name)
    _check_out(settings, record, force=force)
    return record


def difference(before: str, after: str, name: str) -> str:
    """What an adoption changes in a file, shortened."""
    lines = [*difflib.unified_diff(before.splitlines(), after.splitlines(), f"now/{name}", f"run/{name}", lineterm="")]
    more = [f"... and {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return "\n".join([*lines[:_SHOWN_LINES], *more])


def other_code(workspace: Path, lock_text: str) -> list[str]:
    """Files of code that a `dvc.lock` names and that are not here as it says."""
    stages = YAML(typ="safe").load(lock_text)["stages"].values()
    deps = {dep["path"]: dep.get("md5") for stage in stages for dep in stage.get("deps", ())}
    return sorted(
        path for path, md5 in deps.items() if not path.startswith("artifacts/") and _md5(workspace / path) != md5
    )


def _refuse_other_code(workspace: Path, record: RunRecord) -> None:
    changed = other_code(workspace, record.dvc_lock)
    if changed:
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        commit = require_commit(record)
        patch = " (and the patch in its record)" if record.code.patch else ""
        raise StepError(
            f"run {record.run} is of other code: {', '.join(changed[:_NAMED])}{more}; `git diff {commit[:12]}` shows "
            f"how; go to its commit with `git switch --detach {commit[:12]}`{patch}, or adopt all the same with "
            "--force: `dvc repro` then runs what the code here changes"
        )


def _refuse_loss(workspace: Path, record: RunRecord, new: dict[str, str]) -> None:
    refs = git(workspace, "for-each-ref", "--format=%(refname)", RUN_REFS).split()
    for name in ADOPTED:
        file = workspace / name
        if not file.is_file() or file.read_text(encoding="utf-8") == new[name]:
            continue
        blob = git(workspace, "hash-object", "--no-filters", name).strip()
        asked = "".join(f"{ref}:{name}\n" for ref in ("HEAD", *refs))
        kept = git(workspace, "cat-file", "--batch-check=%(objectname)", text=asked).splitlines()
        if blob not in kept:
            shown = difference(file.read_text(encoding="utf-8"), new[name], name)
            raise StepError(
                f"{name} has changes that are in no commit and of no run, and would be lost: commit them, or adopt "
                f"{record.run} all the same with --force:\n{shown}"
            )


def _check_out(settings: Settings, record: RunRecord, *, force: bool) -> None:
    command = [sys.executable, "-m", "dvc", "checkout", *(["--force"] if force else [])]
    done = subprocess.run(
        command, cwd=settings.workspace, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StepError(
            f"params.yaml and dvc.lock are those of run {record.run} ({ref_of(record.run)}), but not all outputs: "
            f"{(done.stderr or done.stdout).strip()[-1000:]}\ntype `dvc pull` if they were published, else `dvc repro`"
        )


def _md5(path: Path) -> str:
    try:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except (FileNotFoundError, IsADirectoryError):
        return ""
