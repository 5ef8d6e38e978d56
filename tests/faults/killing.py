"""SIGKILL at a moment, or at a change of a file, of a step, its group, the flow above it, or a training worker."""

import os
import signal
import subprocess
import time

import psutil

from tests.faults.catalogue import Fault
from tests.faults.judge import Result, published, repaired
from tests.faults.workspace import INJECT, Ran, Reference, Workspace, ended
from tests.processes import command_line

_START_SECONDS = 120


def inject(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """Kill, then judge the next run."""
    if fault.target == "publish":
        command, name = ("abcd", "publish"), "publish"
    else:
        workspace.forget(fault.target)
        command, name = ("dvc", "repro", "-s", fault.target), f"tasks {fault.target}"
    ran = {"write": _at_a_write, "flow": _the_flow}.get(fault.how, _at_a_moment)(
        fault, reference, workspace, command, name
    )
    disturbed = ran._replace(code=-signal.SIGKILL) if ran.code else ran
    if fault.how == "flow":
        return published(workspace, reference, disturbed, killed_before_publish=True)
    return (published if fault.target == "publish" else repaired)(workspace, reference, disturbed)


def _at_a_write(fault: Fault, reference: Reference, workspace: Workspace, command: tuple[str, ...], name: str) -> Ran:
    at = fault.random.randint(1, reference.truth.changes[fault.target])
    return workspace.run(*command, FAULT_PROCESS=name, FAULT_AT=str(at), PYTHONPATH=str(INJECT))


def _at_a_moment(fault: Fault, reference: Reference, workspace: Workspace, command: tuple[str, ...], name: str) -> Ran:
    process = workspace.start(*command)
    wanted = "ray::" if fault.how == "worker" else name
    victim = process.pid if fault.target == "publish" else find(process, wanted)
    time.sleep(fault.random.random() * (1.0 if fault.how == "worker" else reference.truth.seconds[fault.target]))
    if fault.how == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        kill(victim)
    return ended(process)


def _the_flow(fault: Fault, reference: Reference, workspace: Workspace, command: tuple[str, ...], name: str) -> Ran:
    """The flow's process; the guard must end what is below it."""
    workspace.forget("gate")  # so that a flow that is to publish has a step to be found by
    process = workspace.start("abcd", "run")
    find(process, f"tasks {'gate' if fault.target == 'publish' else fault.target}")
    time.sleep(fault.random.random() * reference.truth.seconds[fault.target])
    below = psutil.Process(process.pid).children(recursive=True)
    kill(process.pid)
    ran = ended(process)
    _, alive = psutil.wait_procs(below, timeout=20)
    if alive:
        raise AssertionError(f"the flow was killed, and these live on: {[command_line(p) for p in alive]}")
    return ran


def kill(pid: int) -> None:
    """SIGKILL to a process that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def find(process: subprocess.Popen[str], wanted: str) -> int:
    """Pid of the first descendant whose command line has `wanted`; the process's own once that has ended."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            below = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            break
        for child in below:
            if wanted in command_line(child):
                return child.pid
        time.sleep(0.02)
    if process.poll() is None:
        raise AssertionError(f"no process {wanted!r} within {_START_SECONDS} s")
    return process.pid
