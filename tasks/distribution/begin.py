"""A fresh checkout -> params.yaml's nearest run: its dvc.lock and outputs, so that a run does only what differs.

A checkout has neither; DVC would be started once a step to find in its cache what it has. What is not as it was then
is stale, as in any workspace, and is made anew.
"""

import logging
import subprocess
import sys

from infra.settings import Settings
from tasks.distribution.code_state import git
from tasks.distribution.run_record import RUN_REFS

logger = logging.getLogger(__name__)

_LATEST = 100


def begin(settings: Settings) -> str:
    """Lay out the outputs of the run most like the one that begins here. The caller holds the workspace.

    Returns:
        name of that run; empty where the workspace has a `dvc.lock`, and where no run ended a step yet.

    Raises:
        StepError: git refuses.
    """
    lock = settings.workspace / "dvc.lock"
    ref = "" if lock.exists() else _nearest(settings)
    if not ref:
        return ""
    fresh = lock.with_name(f".{lock.name}.new")
    fresh.write_text(git(settings.workspace, "show", f"{ref}:dvc.lock"), encoding="utf-8")
    fresh.replace(lock)
    command = [sys.executable, "-m", "dvc", "checkout", "--quiet", "--force"]
    done = subprocess.run(command, cwd=settings.workspace, capture_output=True, text=True, check=False)
    if done.returncode:  # what `abcd gc` removed is made again
        logger.info("not all outputs of the last run are in the cache: %s", done.stderr.strip()[-500:])
    return ref.removeprefix(RUN_REFS)


def _nearest(settings: Settings) -> str:
    """Ref of the newest run that ended a step and had the same params; else of the newest that ended a step."""
    newest = ("for-each-ref", "--sort=-committerdate", f"--count={_LATEST}", "--format=%(refname)", RUN_REFS)
    refs = git(settings.workspace, *newest).split()
    ours = git(settings.workspace, "hash-object", "--no-filters", "params.yaml").strip()
    asked = "".join(f"{ref}:dvc.lock\n{ref}:params.yaml\n" for ref in refs)
    found = git(settings.workspace, "cat-file", "--batch-check=%(objectname)", text=asked).splitlines()
    pairs = zip(refs, found[::2], found[1::2], strict=True)
    begun = [(ref, params == ours) for ref, lock, params in pairs if not lock.endswith(" missing")]
    return next((ref for ref, is_same in begun if is_same), begun[0][0] if begun else "")
