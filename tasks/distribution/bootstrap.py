"""Paired bits of two models on the same documents become a difference in bits per byte with a confidence interval.

Bootstrap (Efron, https://doi.org/10.1214/aos/1176344552) of the ratio sum(bits) / sum(bytes). Whole groups of
documents are drawn, because documents of one source are alike: drawn one by one they would look like more evidence
than they are (cluster bootstrap, https://doi.org/10.1162/rest.90.3.414).

The plain percentile interval is too narrow where groups are few: it takes the variance of G draws for that of G - 1 and
the normal's tail for Student's. The expanded percentile interval (Hesterberg,
https://doi.org/10.1080/00031305.2015.1089789) reads the draws further out instead. Groups of unequal size are worth
fewer equal ones; how many is Satterthwaite's count for the bias-reduced variance of Bell and McCaffrey (Imbens and
Kolesar, https://doi.org/10.1162/REST_a_00552). `python -m benchmarks.gate` measures what
that buys.
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
    """Difference in bits per byte over all documents, and its interval of `confidence`.

    Args:
        candidate_bits: bits a document, shape (N,).
        champion_bits: bits of the same documents, shape (N,).
        size_bytes: UTF-8 bytes of the documents, shape (N,).
        groups: what each document is drawn with, shape (N,); one group only: documents are drawn alone.
        resamples: draws of as many groups as there are.
        confidence: how often such intervals hold the true difference.
        seed: random state; same input and seed, same result.
    """
    names, member = np.unique(groups, return_inverse=True)
    if len(names) == 1:
        member = np.arange(len(groups))
    bits_G = np.bincount(member, weights=candidate_bits - champion_bits).astype(np.float64)
    bytes_G = np.bincount(member, weights=size_bytes).astype(np.float64)
    drawn_R = resample(bits_G, bytes_G, resamples=resamples, seed=seed)
    tail = expanded_tail((1 - confidence) / 2, degrees_of_freedom(bytes_G))
    low, high = np.quantile(drawn_R, (tail, 1 - tail))
    figures = bits_G.sum() / bytes_G.sum(), low, high
    return Interval(*(round(float(figure), DECIMALS) + 0.0 for figure in figures))


def degrees_of_freedom(bytes_G: Floats) -> float:
    """How much the groups tell of their own spread: G - 1 for G groups of one size, less for unequal ones.

    Satterthwaite's 2 E(v)^2 / Var(v) of the bias-reduced variance v, where a group's variance grows with its bytes;
    with the shares h of all bytes that is one over sum(h^2) + sum(h^2 / (1-h))^2 - sum(h^4 / (1-h)^2).
    """
    share_G = bytes_G / bytes_G.sum()
    if len(share_G) < 2 or share_G.max() == 1:
        return 0.0
    ratio_G = share_G**2 / (1 - share_G)
    return float(1 / ((share_G**2).sum() + ratio_G.sum() ** 2 - (ratio_G**2).sum()))


def expanded_tail(tail: float, freedom: float) -> float:
    """Share of the draws outside each end of an interval that misses at that end in a share `tail` of cases.

    Hesterberg's Phi(-sqrt(n / (n-1)) t), t of Student's distribution with n - 1 degrees of freedom; none: no draw.
    """
    if freedom <= 0:
        return 0.0
    # Here, because it takes a third of a second to import, and every `abcd` command would wait for it.
    from scipy.special import ndtr, stdtrit

    return float(ndtr(np.sqrt((freedom + 1) / freedom) * stdtrit(freedom, tail)))


def resample(bits_G: Floats, bytes_G: Floats, *, resamples: int, seed: int) -> Floats:
    """Bits per byte of each draw, shape (R,)."""
    count = len(bits_G)
    generator = np.random.Generator(np.random.PCG64(seed))
    rows = max(1, _PIECE // count)
    drawn = []
    for start in range(0, resamples, rows):
        index_RG = generator.integers(count, size=(min(rows, resamples - start), count))
        drawn.append(bits_G[index_RG].sum(axis=1) / bytes_G[index_RG].sum(axis=1))
    return np.concatenate(drawn)
