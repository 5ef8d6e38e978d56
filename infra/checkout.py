"""A commit -> a workspace of its own for one run: a git worktree that shares caches, registry, keys with the main one.

`python -m infra.checkout` makes one and prints its path; the pull section of prefect.yaml calls it, so that a deployed
run imports its flows from the commit that it runs. A worktree, not a `git clone --shared`: refs that a run leaves are
the main clone's at once, and `git gc` there knows which commits the checkouts need.
"""

import json
import logging
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from infra.git import GitError, git
from infra.lock import is_held
from infra.settings import CHECKOUT_FILE, Settings

logger = logging.getLogger(__name__)

_ENDED_FILE = Path(".abcd", "ended.json")
# What a checkout has in common with the main workspace.
_SHARED = (
    "main", "records", "checkpoints", "registry", "seen", "keys", "cache", "prefect_home", "dvc_cache", "remote",
    "source_root", "checkouts",
)  # fmt: skip
_HOUR = 3600.0
# From its checkout to its first step a run takes seconds; on a busy machine a minute.
_START_SECONDS = 600.0
_NAMED = 20


def make_checkout(settings: Settings, name: str, *, commit: str = "", own: Mapping[str, str] | None = None) -> Settings:
    """A fresh checkout, and its settings.

    Args:
        settings: of the main workspace, or of one of its checkouts.
        name: of the run, for the folder.
        commit: commit, branch or tag; HEAD of the main workspace if empty.
        own: settings that are not to be the main workspace's; paths start at the checkout.

    Raises:
        GitError: there is no such commit, or git refuses.
    """
    with no_new_checkout(settings):
        remove_finished(settings, time.time())
        named = commit or settings.commit
        found = resolve(settings, named or "HEAD")
        folder = settings.checkouts / _free_name(settings.checkouts, name)
        git(settings.main, "worktree", "add", "--quiet", "--detach", str(folder), found)
    shared = {field: str(getattr(settings, field)) for field in _SHARED}
    places: dict[str, Any] = {"workspace": str(folder), "state": str(folder / ".abcd"), "runs": str(folder / "runs")}
    places = {**shared, **places, **(own or {})}
    left_out = [] if named else uncommitted(settings.main)
    about = {"commit": found, "made_at": time.time(), "left_out": left_out, "settings": places}
    _write(folder / CHECKOUT_FILE, about)
    local = settings.main / ".dvc" / "config.local"
    if local.is_file():  # may hold the key of a DVC remote
        shutil.copy2(local, folder / ".dvc" / "config.local")
    return Settings(**places)


@contextmanager
def no_new_checkout(settings: Settings) -> Iterator[None]:
    """Nobody else makes or removes a checkout within the block."""
    settings.checkouts.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.checkouts / ".lock"):
        yield


def resolve(settings: Settings, commit: str) -> str:
    """Full name of a commit; one that this clone lacks is asked of its remotes.

    Raises:
        GitError: nobody has it.
    """
    name = f"{commit}^{{commit}}"
    ask = ("rev-parse", "--verify", "--quiet", "--end-of-options", name)
    if found := git(settings.main, *ask, may_fail=True).strip():
        return found
    remotes = git(settings.main, "remote").split()
    if re.fullmatch("[0-9a-f]{7,64}", commit):
        for remote in remotes:
            git(settings.main, "fetch", "--quiet", remote, commit, may_fail=True)
            if found := git(settings.main, *ask, may_fail=True).strip():
                return found
    where = f"its remotes ({', '.join(remotes)}) have it neither" if remotes else "it has no remote to ask"
    raise GitError(f"no commit {commit} in {settings.main}, and {where}; name another, or `git fetch` it")


def uncommitted(clone: Path) -> list[str]:
    """Files whose changes are in no commit; `dvc.lock`, which a run makes anew, is none of them."""
    lines = git(clone, "status", "--porcelain", "-z", "--no-renames").split("\0")
    return sorted(line[3:] for line in lines if line and line[3:] != "dvc.lock")


def about_checkout(settings: Settings) -> dict[str, Any] | None:
    """What `make_checkout` noted; None in a workspace that is no checkout."""
    file = settings.workspace / CHECKOUT_FILE
    return _read(file) if file.is_file() else None


def describe(about: Mapping[str, Any]) -> str:
    """A checkout, for the log of its run."""
    left_out = about["left_out"]
    if not left_out:
        return f"works in a checkout of commit {about['commit'][:12]}"
    more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
    return (
        f"works in a checkout of commit {about['commit'][:12]}; uncommitted changes of the workspace are left out: "
        f"{', '.join(left_out[:_NAMED])}{more}; commit them to run with them"
    )


def note_end(settings: Settings, *, ended_well: bool) -> None:
    """Say that the run of a checkout is over; nothing in a workspace that is no checkout."""
    if about_checkout(settings):
        _write(settings.workspace / _ENDED_FILE, {"ended_well": ended_well, "at": time.time()})


def checkouts(settings: Settings) -> list[Path]:
    """All checkouts that there are."""
    return sorted(file.parents[1] for file in settings.checkouts.glob(f"*/{CHECKOUT_FILE}"))


def running(settings: Settings, now: float) -> list[Path]:
    """Checkouts in which something is at work, or is about to be."""
    return [folder for folder in checkouts(settings) if is_held(folder / ".abcd") or _begins(folder, now)]


def _begins(folder: Path, now: float) -> bool:
    made_at = _read(folder / CHECKOUT_FILE).get("made_at", 0.0)
    return not (folder / _ENDED_FILE).exists() and bool(now - made_at < _START_SECONDS)


def finished(settings: Settings, now: float) -> list[Path]:
    """Checkouts whose time is over; one without an end, as of a killed run, stays as long as a failed one."""
    return [folder for folder in checkouts(settings) if _is_over(folder, settings, now)]


def remove_finished(settings: Settings, now: float) -> None:
    """Remove the checkouts whose time is over; one that cannot be removed is said and left."""
    for folder in finished(settings, now):
        try:
            remove(settings, folder)
        except (GitError, OSError) as error:
            logger.warning("the finished checkout %s was not removed: %s", folder, error)


def remove(settings: Settings, folder: Path) -> None:
    """Remove a checkout.

    Raises:
        GitError: git refuses.
    """
    git(settings.main, "worktree", "remove", "--force", "--force", str(folder))


def _is_over(folder: Path, settings: Settings, now: float) -> bool:
    ended = _read(folder / _ENDED_FILE)
    since = ended.get("at") or _read(folder / CHECKOUT_FILE).get("made_at", now)
    hours = settings.keep_checkouts_hours if ended.get("ended_well") else settings.keep_failed_checkouts_hours
    return bool(now - since > hours * _HOUR) and not is_held(folder / ".abcd")


def _free_name(folder: Path, name: str) -> str:
    safe = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "run"
    return f"{safe}-{secrets.token_hex(3)}" if (folder / safe).exists() else safe


def _write(file: Path, value: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(value, indent=1))
    fresh.replace(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found


def main() -> int:
    """Make a checkout for the flow run that Prefect starts; its path is all that standard output gets."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        made = make_checkout(Settings.load(), os.environ.get("PREFECT__FLOW_RUN_ID", "") or "run")
    except GitError as error:
        logger.error("no checkout: %s", error)
        return 1
    logger.info("%s", describe(about_checkout(made) or {}))
    sys.stdout.write(f"{made.workspace}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
