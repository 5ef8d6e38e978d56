"""DVC kept still: its repository lock held, and no `dvc` command under way, not even between two steps."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.lock import LockedError
from infra.processes import is_running
from infra.settings import Settings


@contextmanager
def dvc_lock(settings: Settings) -> Iterator[None]:
    """Hold DVC's lock; a `dvc repro` that has let it go for the length of a step counts too.

    Raises:
        LockedError: a `dvc` command is under way.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo

    with Repo(str(settings.workspace)) as repo:
        try:
            repo.lock.lock()
        except LockError:
            raise LockedError(f"a dvc command is at work in {settings.workspace}; wait for it to end") from None
        try:
            if busy := _busy(json.loads(_read(settings))):
                raise LockedError(f"{busy} is at work in {settings.workspace}; wait for it to end")
            yield
        finally:
            repo.lock.unlock()


def _read(settings: Settings) -> str:
    try:
        return (settings.workspace / ".dvc" / "tmp" / "rwlock").read_text(encoding="utf-8") or "{}"
    except FileNotFoundError:
        return "{}"


def _busy(locks: dict[str, dict[str, Any]]) -> str:
    """A living process that has said which paths it reads or writes, in words (dvc/rwlock.py)."""
    writers = list(locks.get("write", {}).values())
    readers = [reader for found in locks.get("read", {}).values() for reader in found]
    for process in (*writers, *readers):
        if is_running(process["pid"]):
            return f"{process['cmd']} (process {process['pid']})"
    return ""
