"""A clock that was set back, seen from afterwards: files and entries from the future, and from long ago."""

import json
import os
import sys
import time
from pathlib import Path

from tests.faults.catalogue import Fault
from tests.faults.judge import Result, published, repaired
from tests.faults.workspace import Reference, Workspace

_YEAR_SECONDS = 365 * 86_400
_PUBLISH_LATER = """
import datetime, sys
from tasks.distribution import registry

class Later(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) + datetime.timedelta(days=365)

registry.datetime = Later
from flows.cli import main
sys.argv = ["abcd", "publish"]
main()
"""


def inject(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """Set times, then judge the next run."""
    if fault.target == "log":
        workspace.must(sys.executable, "-c", _PUBLISH_LATER)
        return published(workspace, reference)
    settings = workspace.settings
    if fault.target == "locks":
        _leave_locks(workspace, _moment(fault))
        workspace.forget("clean")
    if fault.target == "caches":
        workspace.forget("discover")
        workspace.forget("ingest")
    places = {
        "caches": [settings.cache, settings.dvc_cache],
        "locks": [settings.state, workspace.root / ".dvc" / "tmp"],
        "artifacts": [settings.artifacts],
        "checkpoints": [settings.runs],
    }
    for place in places[fault.target]:
        _set_times(fault, place)
    return repaired(workspace, reference)


def _moment(fault: Fault) -> float:
    return time.time() + (_YEAR_SECONDS if fault.how == "future" else -_YEAR_SECONDS)


def _set_times(fault: Fault, folder: Path) -> None:
    """Times around the moment, in an order of their own."""
    moment, dice = _moment(fault), fault.random
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink():
            at = moment + dice.random() * 1000
            os.utime(path, (at, at))


def _leave_locks(workspace: Workspace, since: float) -> None:
    """What processes that are no more may leave: our lock with a holder, DVC's locks of a dead process."""
    state, temporary, dead = workspace.settings.state, workspace.root / ".dvc" / "tmp", 2**22 - 3
    temporary.mkdir(exist_ok=True)
    (state / "lock").touch()
    (state / "lock.json").write_text(json.dumps({"pid": dead, "what": "abcd run", "since": since, "token": "0" * 16}))
    held = {"write": {str(workspace.settings.artifacts / "clean"): {"pid": dead, "cmd": "dvc repro"}}, "read": {}}
    (temporary / "rwlock").write_text(json.dumps(held))
    (temporary / "lock").touch()
