"""On `PYTHONPATH`, counts a process's changes to files (audit events), and kills it at one of them if told to.

`FAULT_PROCESS`: what the command line must end with. `FAULT_AT`: the change at which to die by SIGKILL, before it is
done. `FAULT_COUNTS`: folder that gets a file with the number of changes of a process that ended by itself.
"""

import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether the event is about to change a file that is not Python's own."""
    if event not in _CHANGES and (event != "open" or not (arguments[2] or 0) & _WRITING):
        return False
    path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
    return "__pycache__" not in path and not path.startswith(("/dev/", "/proc/"))


def _watch(at: int, counts: str, name: str) -> None:
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if _changes(event, arguments):
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

    def leave() -> None:
        number = count
        Path(counts, name).write_text(str(number))

    sys.addaudithook(hook)
    if counts:
        atexit.register(leave)


if " ".join(sys.orig_argv).endswith(os.environ.get("FAULT_PROCESS", " ") or " "):
    _watch(int(os.environ.get("FAULT_AT", "0")), os.environ.get("FAULT_COUNTS", ""), sys.orig_argv[-1])
