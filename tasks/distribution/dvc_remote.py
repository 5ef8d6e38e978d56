"""Data and outputs that `dvc.lock` names, copied to the DVC remote and seen there.

`dvc push` and `dvc status --cloud` both end well when a file is neither in the cache nor in the remote (measured with
3.67.1), so the remote itself is asked: its layout is `files/md5/<2 digits>/<30 digits>`, a folder's content being a
JSON list under the digest that ends in `.dir` (https://dvc.org/doc/user-guide/project-structure/internal-files).
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra.outputs import FOLDER, object_name, outputs_of
from infra.settings import Settings
from infra.storage import StorageError, Store, open_store
from infra.workspace import prepare
from tasks.report import StepError

_SIDE_BY_SIDE = 16


def push_data(settings: Settings) -> None:
    """Copy all that `dvc.lock` names to the DVC remote, and see that it is there.

    Raises:
        StorageError: DVC cannot push; what it pushed is not sent again.
        StepError: something is missing in the remote afterwards.
    """
    prepare(settings)
    _dvc_push(settings)
    steps = outputs_of((settings.workspace / "dvc.lock").read_text(encoding="utf-8"))
    outputs = {path: digest for outs in steps.values() for path, digest in outs.items()}
    missing = missing_in(open_store(settings.remote), outputs)
    if missing:
        raise StepError(
            f"{len(missing)} outputs are not in the DVC remote {settings.remote} after a push, as "
            f"{missing[0]}; type `dvc repro` to make what this clone lacks, then publish again"
        )


def missing_in(remote: Store, outputs: dict[str, str]) -> list[str]:
    """Paths of outputs, and of files in them, whose bytes a remote does not have."""
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        listed = dict(zip(outputs, pool.map(lambda item: _files(remote, *item), outputs.items()), strict=True))
        missing = [path for path, files in listed.items() if files is None]
        files = {path: digest for found in listed.values() if found for path, digest in found.items()}
        there = pool.map(lambda digest: remote.exists(object_name(digest)), files.values())
        return sorted([*missing, *(path for path, is_there in zip(files, there, strict=True) if not is_there)])


def _files(remote: Store, path: str, digest: str) -> dict[str, str] | None:
    """Digests of an output and the files in it; None where the list of files is missing or not what it was."""
    if not digest.endswith(FOLDER):
        return {path: digest}
    try:
        listed = remote.read(object_name(digest))
    except FileNotFoundError:
        return None
    if hashlib.md5(listed, usedforsecurity=False).hexdigest() != digest.removesuffix(FOLDER):
        return None
    entries: Iterable[dict[str, Any]] = json.loads(listed)
    return {f"{path}/{entry['relpath']}": entry["md5"] for entry in entries}


def _name(digest: str) -> str:
    return f"files/md5/{digest[:2]}/{digest[2:]}"


def _dvc_push(settings: Settings) -> None:
    command = [sys.executable, "-m", "dvc", "push"]
    done = subprocess.run(command, cwd=settings.workspace, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise StorageError(f"dvc push to {settings.remote} failed, nothing was published: {said}")
