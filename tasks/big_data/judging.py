"""What the rules of quality have in common: they read figures of all documents of a shard at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[Any]  # records of `figures.STATISTICS`, one a document
Against = NDArray[np.bool_]  # one a document


def share(part: NDArray[np.int64], whole: NDArray[np.int64], *, of_nothing: float = 0.0) -> NDArray[np.float64]:
    """Part of the whole."""
    return np.divide(part, whole, out=np.full(len(part), of_nothing), where=whole > 0)


def at_least(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Part of the whole for a rule that asks for enough of it: where there is nothing, none is missing."""
    return share(part, whole, of_nothing=np.inf)
