"""One writer a workspace, one user of the accelerators: file locks that say who holds them, passed on to children."""

import json
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

# Set for children of the holder, so that a step under a flow does not wait for its own parent.
HELD_VARIABLE = "ABCD_LOCK_HELD"


class LockedError(RuntimeError):
    """Another process holds the workspace; the message names it."""


@contextmanager
def workspace_lock(state: Path, *, what: str, timeout_seconds: float = -1) -> Iterator[None]:
    """Hold the workspace; wait while another process does, and say which.

    Args:
        state: folder of the lock, `Settings.state`.
        what: what the holder does, shown to those who wait.
        timeout_seconds: how long to wait; negative: for ever; 0: not at all.

    Raises:
        LockedError: held, still after `timeout_seconds`.
    """
    with _hold(state, what, thing="the workspace is", timeout_seconds=timeout_seconds):
        yield


@contextmanager
def accelerator_lock(folder: Path, *, what: str) -> Iterator[None]:
    """Hold the accelerators of this machine; wait while another run's step does, and say which.

    Two runs that train at once on one GPU would take each other's memory; on a CPU both would take twice as long. A
    lock of the machine and not of the Prefect server: a killed run leaves it at once, and it needs no server.

    Args:
        folder: of the lock, the same for all runs of the machine.
        what: what the holder does, shown to those who wait.
    """
    with _hold(folder, what, thing="the accelerators are", timeout_seconds=-1):
        yield


@contextmanager
def _hold(state: Path, what: str, *, thing: str, timeout_seconds: float) -> Iterator[None]:
    state.mkdir(parents=True, exist_ok=True)
    holder = state / "lock.json"
    token = os.environ.get(HELD_VARIABLE)
    if token and _read(holder).get("token") == token:
        yield
        return
    lock = FileLock(state / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if timeout_seconds == 0:
            raise LockedError(f"{thing} in use by {describe_holder(state)}; wait for it to end") from None
        logger.warning("%s in use by %s; waiting for it to end", thing, describe_holder(state))
        try:
            lock.acquire(timeout=timeout_seconds)
        except Timeout:
            raise LockedError(
                f"{thing} in use by {describe_holder(state)}, still after {timeout_seconds:.0f} s; "
                "wait for it to end or stop it"
            ) from None
    token = secrets.token_hex(8)
    holder.write_text(json.dumps({"pid": os.getpid(), "what": what, "since": time.time(), "token": token}))
    before = os.environ.get(HELD_VARIABLE)
    os.environ[HELD_VARIABLE] = token
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(HELD_VARIABLE, None)
        else:
            os.environ[HELD_VARIABLE] = before
        holder.unlink(missing_ok=True)
        lock.release()


def is_held(state: Path) -> bool:
    """Whether some process holds the workspace now."""
    if not (state / "lock").exists():
        return False
    lock = FileLock(state / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def describe_holder(state: Path) -> str:
    """Who holds the lock, in words."""
    holder = _read(state / "lock.json")
    if not holder:
        return "a process that has not yet said who it is"
    since = time.strftime("%H:%M:%S", time.localtime(float(str(holder["since"]))))
    return f"{holder['what']} (process {holder['pid']}, since {since})"


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
