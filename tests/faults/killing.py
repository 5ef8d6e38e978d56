"""SIGKILL at a moment, or at a change of a file, of a step, its group, the flow above it, or a training worker."""

import os
import signal
import subprocess
import time

import psutil

from tests.faults.catalogue import Fault
from tests.faults.judge import Result, published, repaired
from tests.faults.workspace import INJECT, Ran, Reference, Workspace, ended
from tests.processes import alive_after, command_line

_START_SECONDS = 120
_END_SECONDS = 20
_TRIES = 4


def inject(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """Kill, then judge the next run."""
    kill_it = {"write": _at_a_write, "flow": _the_flow}.get(fault.how, _at_a_moment)
    moment = fault.random.random()
    for _ in range(_TRIES):
        if fault.target != "publish":
            workspace.forget(fault.target)
        ran = kill_it(fault, reference, workspace, moment)
        if ran.code:
            break
        moment /= 2  # it was faster than in the undisturbed run
    else:
        return Result("failed", f"nothing was killed:\n{ran.said}")
    disturbed = ran._replace(code=-signal.SIGKILL)
    if fault.how == "flow":
        return published(workspace, reference, disturbed, killed_before_publish=True)
    return (published if fault.target == "publish" else repaired)(workspace, reference, disturbed)


def _command(fault: Fault) -> tuple[tuple[str, ...], str]:
    """What to start, and how the command line of the process to kill ends."""
    if fault.target == "publish":
        return ("abcd", "publish"), "publish"
    return ("dvc", "repro", "-s", fault.target), f"tasks {fault.target}"


def _at_a_write(fault: Fault, reference: Reference, workspace: Workspace, moment: float) -> Ran:
    command, name = _command(fault)
    at = 1 + int(moment * reference.truth.changes[fault.target])
    return workspace.run(*command, FAULT_PROCESS=name, FAULT_AT=str(at), PYTHONPATH=str(INJECT))


def _at_a_moment(fault: Fault, reference: Reference, workspace: Workspace, moment: float) -> Ran:
    command, name = _command(fault)
    process = workspace.start(*command)
    victim = find(process, "ray::" if fault.how == "worker" else name)
    time.sleep(moment * (1.0 if fault.how == "worker" else reference.truth.seconds[fault.target]))
    if fault.how == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        kill(victim)
    return ended(process)


def _the_flow(fault: Fault, reference: Reference, workspace: Workspace, moment: float) -> Ran:
    """The flow's process; the guard must end what is below it."""
    workspace.forget("gate")  # so that a flow that is to publish has a step to be found by
    process = workspace.start("abcd", "run")
    find(process, f"tasks {'gate' if fault.target == 'publish' else fault.target}")
    time.sleep(moment * reference.truth.seconds[fault.target])
    below = psutil.Process(process.pid).children(recursive=True)
    kill(process.pid)
    ran = ended(process)
    if alive := alive_after([process.pid for process in below], _END_SECONDS):
        raise AssertionError(f"the flow was killed, and these live on: {alive}")
    return ran


def kill(pid: int) -> None:
    """SIGKILL to a process that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def find(process: subprocess.Popen[str], wanted: str) -> int:
    """Pid of the first Python process of a tree that was started as `wanted`; the root's once that has ended."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            tree = [psutil.Process(process.pid)]
            tree += tree[0].children(recursive=True)
        except psutil.NoSuchProcess:
            break
        for member in tree:
            line = command_line(member.pid)
            if line.startswith(wanted) or (line.endswith(wanted) and " -c " not in line):
                return member.pid
        time.sleep(0.02)
    if process.poll() is None:
        raise AssertionError(f"no process {wanted!r} within {_START_SECONDS} s")
    return process.pid
