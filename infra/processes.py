"""A process -> whether it runs."""

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
