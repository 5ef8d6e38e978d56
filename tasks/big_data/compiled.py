"""Functions become machine code that runs without the GIL, and is kept for the next process.

Without numba's run time (`_nrt`, https://github.com/numba/numba/blob/main/numba/core/options.py) nothing is allocated
inside and no references are counted, which is half of the time of a pass that calls small functions on arrays.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False}
# Part of another: not kept by itself, so that what is kept was all made at one time.
part_of_a_pass = numba.njit(**_OPTIONS)


def whole_pass(*modules: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function that Python calls, and keep it until one of these modules of this folder is another.

    numba itself looks at the file of the function alone, and would run old code after a change in another one.
    """
    texts = [(Path(__file__).parent / f"{module}.py").read_bytes() for module in modules]
    stamp = hashlib.sha256(b"".join(texts)).hexdigest()

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        made: Any = numba.njit(**_OPTIONS, cache=True)(function)
        made._cache._cache_file._source_stamp = stamp
        return made

    return compiled
