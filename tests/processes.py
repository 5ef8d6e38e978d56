"""Looking at processes that may end at any moment, without falling over those that do."""

import time
from collections.abc import Iterable

import psutil


def command_line(process: psutil.Process) -> str:
    """What a process was started as; empty once it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_gone(pids: Iterable[int], seconds: float) -> bool:
    """Whether none of the processes runs any more, within so many seconds."""
    deadline = time.monotonic() + seconds
    waiting = list(pids)
    while waiting := [pid for pid in waiting if is_alive(pid)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
