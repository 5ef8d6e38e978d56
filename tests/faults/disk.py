"""A full disk: a tmpfs with too few pages over a folder, in a mount namespace of its own; or a limit on file sizes."""

import functools
import os
import subprocess
import sys
from pathlib import Path

from tests.faults.catalogue import Fault
from tests.faults.judge import Result, published, repaired
from tests.faults.workspace import Ran, Reference, Workspace

_PAGE = 4096
# The folder's content is copied into the small disk, and what is left of it out again; the mount ends with the shell.
_SCRIPT = """
set -e
folder=$1 size=$2; shift 2
mkdir -p "$folder"; mv "$folder" "$folder.before"; mkdir "$folder"
mount -t tmpfs -o "size=$size" tmpfs "$folder"
cp -a "$folder.before/." "$folder/"
set +e
"$@"; code=$?
cp -a "$folder/." "$folder.after"
umount "$folder"
rm -rf "$folder" "$folder.before"; mv "$folder.after" "$folder"
exit $code
"""


class NotRunError(RuntimeError):
    """This machine permits no mount."""


def inject(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """Run on a full disk, then judge that run and the next one."""
    command = ("abcd", "publish") if fault.target == "publish" else ("dvc", "repro", "-s", fault.target)
    if fault.target != "publish":
        if fault.how == "dvc-cache":
            for path in workspace.cache_objects(fault.target):
                path.unlink()
        workspace.forget(fault.target)
    ran = (
        _with_small_files(fault, workspace) if fault.how == "file-size" else _full(fault, workspace, reference, command)
    )
    if not ran.code and "No space left" in ran.said:  # DVC says that it could not keep an output, and ends with 0
        ran = ran._replace(code=1)
    if not ran.code:
        return Result("failed", "the disk was full, and the command ended well")
    return published(workspace, reference, ran) if fault.target == "publish" else repaired(workspace, reference, ran)


def _with_small_files(fault: Fault, workspace: Workspace) -> Ran:
    """No file may grow beyond some kilobytes."""
    limit = fault.random.randint(1, 3)
    return workspace.run("bash", "-c", f"ulimit -f {limit}; exec {sys.executable} -m tasks {fault.target}")


def _full(fault: Fault, workspace: Workspace, reference: Reference, command: tuple[str, ...]) -> Ran:
    settings = workspace.settings
    folder = {
        "artifacts": settings.artifacts,
        "dvc-cache": settings.dvc_cache,
        "checkpoints": settings.runs / "checkpoints",
        "registry": Path(settings.registry),
        "remote": Path(settings.remote),
    }[fault.how]
    used = sum(-(-path.stat().st_size // _PAGE) for path in folder.rglob("*") if path.is_file())
    wanted = _pages_of(reference.work.settings.artifacts / ("export" if fault.target == "publish" else fault.target))
    size = (used + max(1, int(fault.random.random() * 0.8 * wanted))) * _PAGE
    name, *rest = command
    module = {"abcd": "flows.cli", "dvc": "dvc"}[name]
    line = [*_namespace(), "bash", "-c", _SCRIPT, "small-disk", str(folder), str(size), sys.executable, "-m", module]
    return workspace.run(*line, *rest, ABCD_CHECKPOINT_STEPS="8")


def _pages_of(folder: Path) -> int:
    return sum(-(-path.stat().st_size // _PAGE) for path in folder.rglob("*") if path.is_file())


@functools.cache
def _namespace() -> tuple[str, ...]:
    """Command before which a mount is seen by nobody else; as another user it is root of its own namespace."""
    prefix = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-rm")
    tried = subprocess.run([*prefix, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    if tried.returncode:
        raise NotRunError(f"this machine permits no tmpfs: {tried.stderr.decode().strip()}")
    return prefix
