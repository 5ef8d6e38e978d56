"""Looking at processes that may end at any moment, without falling over those that do."""

import time
from collections.abc import Iterable

import psutil

from infra.processes import is_running


def command_line(pid: int) -> str:
    """What a process was started as; empty once it is gone."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def alive_after(pids: Iterable[int], seconds: float) -> list[str]:
    """Command lines of those processes that still run when all have ended or so many seconds have passed."""
    deadline = time.monotonic() + seconds
    waiting = list(pids)
    while (waiting := [pid for pid in waiting if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"{pid} {command_line(pid)}" for pid in waiting]
