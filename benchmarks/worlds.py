"""Worlds with a known true difference, drawn from real or made-up groups: what the gate says in them, and how often.

A world's groups are drawn with replacement, as the bootstrap itself imagines them; sizes stay with their groups.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import binomtest

from tasks.distribution.bootstrap import Interval, paired_interval, resample
from tasks.distribution.verdict import Candidate, Champion, judge_against
from tasks.params import Gate

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator], tuple[Floats, Floats]]

CHAMPION = Champion(name="model", version=1, weights_sha256="", held_out_sha256="")
DIFFERENCES = tuple(round(float(each), 4) + 0.0 for each in np.arange(-0.02, 0.0301, 0.0025))
WORSE = 0.02
# Of a group's size: its logarithm's standard deviation, near that of the standard library's held-out groups (1.4).
SIZE_SPREAD = 1.5
# Of a group's difference in bits per byte, near that of the retrained model's groups.
DIFFERENCE_SPREAD = 0.02


class Population(NamedTuple):
    """Real groups: candidate minus champion in bits, centred so that the models are equal; bytes."""

    bits: Floats
    sizes: Floats

    def worlds_of(self, count: int) -> Draw:
        """Draws worlds of `count` groups."""

        def draw(generator: np.random.Generator) -> tuple[Floats, Floats]:
            chosen = generator.integers(len(self.bits), size=count)
            return self.bits[chosen], self.sizes[chosen]

        return draw


class World(NamedTuple):
    """What was found in one world whose true difference is known."""

    truth: float
    gate: Interval
    percentile_low: float
    percentile_high: float


def population_of(mine: pl.DataFrame, theirs: pl.DataFrame) -> Population:
    """Differences by group with their mean taken away."""
    joined = mine.join(theirs.select("id", theirs="bits"), on="id", validate="1:1")
    if joined.height != mine.height or joined.height != theirs.height:
        raise SystemExit("the two tables are not of the same documents; give two runs of one corpus")
    groups = joined.group_by("group").agg((pl.col("bits") - pl.col("theirs")).sum(), pl.col("bytes").sum())
    bits_G, bytes_G = (groups.sort("group")[name].to_numpy().astype(float) for name in ("bits", "bytes"))
    return Population(bits_G - bytes_G * bits_G.sum() / bytes_G.sum(), bytes_G)


def synthetic(count: int, correlation: float) -> tuple[Draw, float]:
    """Worlds of `count` groups of log-normal sizes, differences correlated with log size; the true difference."""

    def draw(generator: np.random.Generator) -> tuple[Floats, Floats]:
        size_G, own_G = generator.normal(size=(2, count))
        bytes_G = np.round(10_000 * np.exp(SIZE_SPREAD * size_G)) + 1
        difference_G = correlation * size_G + np.sqrt(1 - correlation**2) * own_G
        return DIFFERENCE_SPREAD * difference_G * bytes_G, bytes_G

    # Weighted by bytes, log size is normal around its variance: E[b z] / E[b] = spread.
    return draw, DIFFERENCE_SPREAD * correlation * SIZE_SPREAD


def look(bits_G: Floats, bytes_G: Floats, params: Gate) -> Interval:
    """The gate's interval of a world; a group is handed over as one document, which is all the gate sees of it."""
    return paired_interval(
        candidate_bits=bits_G,
        champion_bits=np.zeros_like(bits_G),
        size_bytes=bytes_G.astype(np.int64),
        groups=np.char.mod("%06d", np.arange(len(bits_G))),
        resamples=params.resamples,
        confidence=params.confidence,
        seed=params.seed,
    )


def live(draw: Draw, truth: float, count: int, params: Gate, *, seed: int) -> list[World]:
    """Draw worlds; the gate's interval and the plain percentile interval of each."""
    generator, worlds = np.random.default_rng(seed), []
    tails = np.array([(1 - params.confidence) / 2, (1 + params.confidence) / 2])
    for _ in range(count):
        bits_G, bytes_G = draw(generator)
        drawn_R = resample(bits_G, bytes_G, resamples=params.resamples, seed=params.seed)
        low, high = np.quantile(drawn_R, tails)
        worlds.append(World(truth, look(bits_G, bytes_G, params), float(low), float(high)))
    return worlds


def is_promoted(interval: Interval, groups: int, params: Gate) -> bool:
    """What the gate says of this interval, with as many documents as it asks for."""
    mine = Candidate(weights_sha256="", bits_per_byte=2.0, documents=params.min_documents, groups=groups)
    return judge_against(
        mine, CHAMPION, params, champion_bits_per_byte=2.0, interval=interval, same_held_out=True
    ).promote


def rate(hits: Sequence[bool]) -> dict[str, Any]:
    """Share with its Wilson interval."""
    found = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return {"rate": sum(hits) / len(hits), "low": float(found.low), "high": float(found.high), "worlds": len(hits)}


def promotions(worlds: Sequence[World], groups: int, params: Gate) -> dict[str, dict[str, Any]]:
    """Rate of promotion by true difference: bits shifted by delta per byte shift every draw, and so the interval."""
    return {
        f"{delta:+.4f}": rate(
            [is_promoted(Interval(*(end + delta for end in world.gate)), groups, params) for world in worlds]
        )
        for delta in DIFFERENCES
    }


def coverage(worlds: Sequence[World], margin: float) -> dict[str, Any]:
    """How often the interval holds the truth, the truth is above it, a model worse by WORSE would be promoted."""
    return {
        "holds": rate([world.gate.low <= world.truth <= world.gate.high for world in worlds]),
        "above": rate([world.truth > world.gate.high for world in worlds]),
        "worse_promoted": rate([world.gate.high - world.truth + WORSE <= margin for world in worlds]),
        "percentile_holds": rate([w.percentile_low <= w.truth <= w.percentile_high for w in worlds]),
        "percentile_above": rate([world.truth > world.percentile_high for world in worlds]),
    }
