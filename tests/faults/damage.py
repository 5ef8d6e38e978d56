"""One bit flipped, or the end cut off, in a file that is read again later; its times and rights stay as they were."""

import os
from pathlib import Path

from infra.releases import Registry
from infra.signed_log import folder_of
from tasks.__main__ import STEPS
from tests.faults.catalogue import Fault
from tests.faults.judge import CLEAR, Result, published, registry_wrong, repaired, unclear
from tests.faults.workspace import NAME, Reference, Workspace

_READ_BY = {
    "cache/shards/ingest": "ingest", "cache/shards/dedup": "dedup", "cache/sources": "ingest", "cache/gate": "gate",
}  # fmt: skip


def inject(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """Damage a file, then judge what reads it."""
    place, _, part = fault.target.partition("/")
    if fault.target in _READ_BY:
        return _in_a_cache(fault, reference, workspace)
    if place in ("dvc-cache", "artifacts"):
        return _in_an_output(fault, reference, workspace, place, part)
    if place == "rwlock":
        return _in_dvcs_locks(fault, reference, workspace)
    if place == "checkpoint":
        return _in_checkpoints(fault, reference, workspace, part)
    return _in_the_registry(fault, reference, workspace)


def damage(fault: Fault, path: Path) -> bytes:
    """Flip one bit of a file, or cut its end off; the bytes that were there."""
    whole, stat = path.read_bytes(), path.stat()
    at = fault.random.randrange(len(whole))
    changed = whole[:at] if fault.how == "cut" else whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    path.chmod(0o644)
    path.write_bytes(changed)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return whole


def _in_a_cache(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    folder = workspace.settings.state / fault.target
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    damage(fault, fault.random.choice(files))
    workspace.forget(_READ_BY[fault.target], memory=False)
    return repaired(workspace, reference)


def _in_an_output(fault: Fault, reference: Reference, workspace: Workspace, place: str, part: str) -> Result:
    """DVC believes its own cache and what it remembers of the workspace, so whoever reads the output must look."""
    step = "clean" if part == "folder" else part
    if place == "artifacts":
        workspace.must("dvc", "status")  # DVC has seen all as it should be
        damage(
            fault,
            fault.random.choice(sorted(p for p in (workspace.settings.artifacts / step).rglob("*") if p.is_file())),
        )
    else:
        folders = [path for path in workspace.cache_objects(step) if path.name.endswith(".dir")]
        objects = folders if part == "folder" else [p for p in workspace.cache_objects(step) if p not in folders]
        workspace.remove(step)
        damage(fault, fault.random.choice(objects))
        workspace.run("dvc", "checkout", step)
    if step == "export":  # read by no step, only by publish
        return published(workspace, reference)
    following = list(STEPS)[list(STEPS).index(step) + 1]
    workspace.forget(following)
    return repaired(workspace, reference)


def _in_dvcs_locks(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """A DVC that was killed while it wrote who reads and writes what."""
    path = workspace.root / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"read": {"artifacts/clean": [{"pid": 1')
    return published(workspace, reference)


def _in_checkpoints(fault: Fault, reference: Reference, workspace: Workspace, which: str) -> Result:
    found = sorted((workspace.settings.runs / "checkpoints").rglob("step-*"))
    for path in found if which == "all" else found[-1:]:
        damage(fault, path)
    return repaired(workspace, reference)


def _in_the_registry(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """Refused by name, and right again when the bytes are put back."""
    workspace.must("abcd", "publish")
    root = Path(workspace.settings.registry)
    release = Registry.of(workspace.settings).log(NAME).releases[1]
    if fault.target == "blob":
        path = root / fault.random.choice(sorted(file.blob for file in release.files.values()))
    elif fault.target == "seen":
        path = Registry.of(workspace.settings).memory / f"{NAME}.json"
    else:
        path = fault.random.choice(sorted((root / folder_of(NAME)).iterdir()))
    whole = damage(fault, path)
    for command in (("abcd", "verify"), ("abcd", "pull", f"{NAME}@v2", "--to", "pulled")):
        ran = workspace.run(*command)
        if ran.code == 0 or path.name not in ran.said or unclear(ran):
            return Result("failed", f"{' '.join(command)} ended with {ran.code}, not naming {path.name}:\n{ran.said}")
    path.chmod(0o644)
    path.write_bytes(whole)
    problem = registry_wrong(workspace, champions={2})
    workspace.must("abcd", "pull", f"{NAME}@v2", "--to", "pulled")
    return Result("failed" if problem else CLEAR, problem)
