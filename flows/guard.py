"""Parent of a step's child process: when the flow dies, by SIGKILL too, the whole tree under it dies.

`python -m flows.guard COMMAND ...` runs COMMAND and ends with its exit code. It ends COMMAND and all its descendants
when its own standard input closes (the flow that holds the other end has died), on SIGTERM or SIGINT, and, for what
COMMAND left behind, when COMMAND ends. Descendants that change session or lose their parent stay within reach, since
Linux hands orphans to the nearest subreaper (`man 2 prctl`, PR_SET_CHILD_SUBREAPER); elsewhere only those whose
parents live are found. Only the standard library and psutil: it starts with every step.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from types import FrameType

import psutil

from infra.processes import runs

_PR_SET_CHILD_SUBREAPER = 36
# What a child gets to end by itself (DVC drops its locks, Ray its sockets) before it is killed.
GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.05


class _StopError(Exception):
    """The flow asked for the end, or has died."""


def guard(command: list[str]) -> int:
    """Run `command` under guard; its exit code, or 128 + SIGTERM when stopped."""
    become_subreaper()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _raise_stop)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        return _wait(child)
    except _StopError:
        return 128 + signal.SIGTERM
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        end_descendants()


def become_subreaper() -> None:
    """Adopt the orphans among this process's descendants (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Exit code of the child, unless standard input closes first."""
    while child.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
        if readable and not os.read(sys.stdin.fileno(), 1):
            raise _StopError
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    raise _StopError


def end_descendants(grace_seconds: float = GRACE_SECONDS, *, kept: Collection[int] = ()) -> None:
    """Terminate, then kill, every process below this one, until none is left but the children `kept` and theirs."""
    me = psutil.Process()
    deadline = time.monotonic() + grace_seconds
    asked: set[int] = set()
    while living := _living_below(me, kept):
        late = time.monotonic() > deadline
        for process in living:
            if late or process.pid not in asked:
                asked.add(process.pid)
                _send(process, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(_POLL_SECONDS)


def _living_below(me: psutil.Process, kept: Collection[int]) -> list[psutil.Process]:
    """The descendants that run; those that have ended are buried, which PID 1 of a container may never do."""
    children = [child for child in me.children() if child.pid not in kept]
    living = [process for child in children for process in [child, *_below(child)] if runs(process)]
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    return living


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m flows.guard COMMAND ...")
    sys.exit(guard(sys.argv[1:]))
