"""Paired bits of two models on the same documents become a difference in bits per byte with a confidence interval.

Percentile bootstrap (Efron, https://doi.org/10.1214/aos/1176344552) of the ratio sum(bits) / sum(bytes). Whole groups
of documents are drawn, because documents of one source are alike: drawn one by one they would look like more evidence
than they are (cluster bootstrap, https://doi.org/10.1162/rest.90.3.414).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# R resamples, G groups. Drawn in pieces of at most this many indices, so that memory stays small.
_PIECE = 2**22
# Finer than anything measured, coarser than the rounding of sums, which differs between machines.
DECIMALS = 6


class Interval(NamedTuple):
    """Candidate minus champion in bits per byte: below zero the candidate is better."""

    difference: float
    low: float
    high: float


def paired_interval(
    *,
    candidate_bits: Floats,
    champion_bits: Floats,
    size_bytes: npt.NDArray[np.int64],
    groups: npt.NDArray[np.str_],
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Difference in bits per byte over all documents, and the central `confidence` interval of its bootstrap.

    Args:
        candidate_bits: bits a document, shape (N,).
        champion_bits: bits of the same documents, shape (N,).
        size_bytes: UTF-8 bytes of the documents, shape (N,).
        groups: what each document is drawn with, shape (N,); one group only: documents are drawn alone.
        resamples: draws of as many groups as there are.
        confidence: share of the draws inside the interval.
        seed: random state; same input and seed, same result.
    """
    names, member = np.unique(groups, return_inverse=True)
    if len(names) == 1:
        member = np.arange(len(groups))
    bits_G = np.bincount(member, weights=candidate_bits - champion_bits).astype(np.float64)
    bytes_G = np.bincount(member, weights=size_bytes).astype(np.float64)
    drawn_R = _resample(bits_G, bytes_G, resamples=resamples, seed=seed)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn_R, (tail, 1 - tail))
    figures = bits_G.sum() / bytes_G.sum(), low, high
    return Interval(*(round(float(figure), DECIMALS) + 0.0 for figure in figures))


def _resample(bits_G: Floats, bytes_G: Floats, *, resamples: int, seed: int) -> Floats:
    """Bits per byte of each draw, shape (R,)."""
    count = len(bits_G)
    generator = np.random.Generator(np.random.PCG64(seed))
    rows = max(1, _PIECE // count)
    drawn = []
    for start in range(0, resamples, rows):
        index_RG = generator.integers(count, size=(min(rows, resamples - start), count))
        drawn.append(bits_G[index_RG].sum(axis=1) / bytes_G[index_RG].sum(axis=1))
    return np.concatenate(drawn)
