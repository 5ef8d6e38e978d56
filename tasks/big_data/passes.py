"""How numba makes a pass over a shard fast: many small functions on arrays, compiled as one.

Without numba's run time (`_nrt`, https://github.com/numba/numba/blob/main/numba/core/options.py) nothing is allocated
inside and no references are counted, which is two thirds of the time of such a pass. A step is so small that a call of
it would cost more than it does, and becomes part of whoever calls it. Only the whole is kept for the
next process (`compiled.py` says where), so that its parts are never older than it.
"""

from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher
from numba.core.runtime.nrt import rtsys

_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False}


class _Kept(FunctionCache):
    """Machine code that was kept is loaded without the compiler: its registries take three times as long as numba."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was kept for a signature; the compiler is made ready if there is nothing."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            found = self._load_overload(sig, target_context)
        return found if found is not None else super().load_overload(sig, target_context)


class _Kernel(CPUDispatcher):
    """A compiled function whose machine code is kept."""

    def enable_caching(self) -> None:
        """Keep what is compiled."""
        self._cache = _Kept(self.py_func)

    def _compilation_chain_init_hook(self) -> None:
        """Other libraries' extensions of the compiler are looked for where it is made ready, and only there."""


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator of a function that is compiled, is kept for the next process, and runs without the GIL."""

    def made(function: Callable[..., Any]) -> Any:
        found = _Kernel(function, targetoptions={"nopython": True, "nogil": True, **options})
        found.enable_caching()
        return found

    return made


part_of_a_pass = numba.njit(**_OPTIONS)
whole_pass = kernel(**_OPTIONS)
step_of_a_pass = numba.njit(**_OPTIONS, forceinline=True)
