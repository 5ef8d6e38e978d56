"""How numba makes a pass over a shard fast: many small functions on arrays, compiled as one.

Without numba's run time (`_nrt`, https://github.com/numba/numba/blob/main/numba/core/options.py) nothing is allocated
inside and no references are counted, which is two thirds of the time of such a pass. A step is so small that a call of
it would cost more than it does, and becomes part of whoever calls it. Only the whole is kept for the
next process (`compiled.py` says where), so that its parts are never older than it.
"""

from typing import Any

import numba

_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False}
part_of_a_pass = numba.njit(**_OPTIONS)
whole_pass = numba.njit(**_OPTIONS, cache=True)
step_of_a_pass = numba.njit(**_OPTIONS, forceinline=True)
