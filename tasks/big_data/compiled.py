"""Where numba keeps the machine code of kernels: by what they are made of, so that all clones and checkouts share it.

Numba's own places go by the path of the source, and every checkout of a run would compile anew for half a minute.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Self

from numba.core.caching import UserWideCacheLocator

_ROOM = Path(__file__).parent


class Locator(UserWideCacheLocator):
    """A folder for each state of the kernels, below `NUMBA_CACHE_DIR` or the user's cache folder."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        super().__init__(py_func, py_file)
        self._cache_path = str(_root() / kernels_digest())

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Self | None:
        """A locator for a kernel of this room; others have numba's own."""
        if Path(py_file).parent != _ROOM:
            return None
        found: Self | None = super().from_function(py_func, py_file)
        return found


@cache
def kernels_digest() -> str:
    """Digest of all modules with kernels: one may be compiled into another, which numba alone would not notice."""
    digest = hashlib.sha256()
    for file in sorted(_ROOM.glob("*.py")):
        content = file.read_bytes()
        if b"numba" in content or b"big_data.passes" in content:
            digest.update(file.name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def _root() -> Path:
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "abcd" / "kernels"
