"""What the rules of quality have in common: they read figures of all documents of a shard at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[Any]  # records of `kernel.STATISTICS`, one a document
Against = NDArray[np.bool_]  # one a document


def share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Part of the whole; of nothing, none."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
