"""Two runs in one workspace at the same time: both end well or say who is in the way, and the bytes are right."""

from infra.releases import Registry
from tests.faults import small_release
from tests.faults.catalogue import Fault
from tests.faults.judge import SAME, Result, published, registry_wrong, repaired, unclear
from tests.faults.workspace import Reference, Workspace, ended


def inject(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """Start both, then judge them and the next run."""
    if fault.how == "release":
        return _publishers(reference, workspace)
    commands = {
        ("run", "run"): [("abcd", "run"), ("abcd", "run")],
        ("run", "repro"): [("abcd", "run"), ("dvc", "repro")],
        ("repro", "repro"): [("dvc", "repro"), ("dvc", "repro")],
        ("publish", "publish"): [("abcd", "publish"), ("abcd", "publish")],
    }.get((fault.target, fault.how), [("step", fault.target)] * 2)
    if fault.target in ("run", "repro"):
        workspace.forget("clean")
    processes = [workspace.start(*command) for command in commands]
    ran = [ended(process) for process in processes]
    if fault.how == "step" and any(one.code for one in ran):
        return Result("failed", f"a step beside itself failed:\n{ran[0].said}\n{ran[1].said}")
    if fault.target in ("run", "publish"):
        return published(workspace, reference, *ran, looked_again=fault.target == "run")
    return repaired(workspace, reference, *ran)


def _publishers(reference: Reference, workspace: Workspace) -> Result:
    """Eight publishers of eight releases: eight versions, one champion."""
    processes = [workspace.start("release", f"text {n}") for n in range(8)]
    ran = [ended(process) for process in processes]
    problem = next((unclear(one) or one.said for one in ran if one.code), "")
    log = Registry.of(workspace.settings).log(small_release.NAME)
    if not problem and (len(log.releases) != 8 or set(log.aliases) != {"candidate", "champion"}):
        problem = f"{len(log.releases)} releases and aliases {log.aliases} of 8 publishers"
    problem = problem or registry_wrong(workspace, champions={reference.champion})
    return Result("failed" if problem else SAME, problem)
