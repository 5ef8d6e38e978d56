"""A process -> whether it runs; how many cores this one may use."""

import os

import psutil


def runs(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended does not, even where nobody ever waits for it.

    Process 1 of a container often does not: what is killed there keeps its id for good.
    """
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_running(pid: int) -> bool:
    """Whether the process that has this id now runs."""
    try:
        return runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def usable_cores() -> int:
    """Cores that this process may use, which a container or `taskset` can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
