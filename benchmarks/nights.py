"""A stated model of a company's nights: what happens to its sources, and how good a model trained on them becomes.

Qualities are bits per byte above what the text itself costs, lower is better and never below nothing. A training from
the champion multiplies the champion's by a chance factor, on average a little below one, so that a good model is harder
to better than a bad one; on poisoned text it adds some hundredths of a bit to a tenth.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

Event = Literal["quiet", "grown", "edited", "poisoned", "gone", "late", "killed", "code"]
# Share of nights; a night that is killed dies after it stored its blobs and before it named them.
EVENTS: Mapping[Event, float] = {
    "quiet": 0.30, "grown": 0.36, "edited": 0.10, "poisoned": 0.08, "gone": 0.05, "late": 0.05, "killed": 0.04,
    "code": 0.02,
}  # fmt: skip
# Of the factor's logarithm.
STEP_MEAN, STEP_SPREAD = -0.01, 0.04
POISON = (0.02, 0.12)
FIRST_QUALITY = 0.3
# Bits per byte: of documents around the mean of all, and of one model on one document around its own mean.
TEXT_MEAN, TEXT_SPREAD, OWN_SPREAD = 2.2, 0.25, 0.04


class Night(NamedTuple):
    """What tonight's world is like."""

    number: int
    event: Event


def calendar(count: int, *, seed: int) -> list[Night]:
    """Nights of a year, the first of which has text."""
    drawn = np.random.default_rng(seed).choice(len(EVENTS), size=count, p=list(EVENTS.values()))
    names = list(EVENTS)
    return [Night(n, "grown" if n == 0 else names[int(index)]) for n, index in enumerate(drawn)]


def change_sources(folder: Path, night: Night, generator: np.random.Generator) -> None:
    """Make the files of the sources what they are tonight."""
    there = sorted(folder.glob("*.txt"))
    if night.event in ("grown", "poisoned", "killed"):
        for number in range(200 if night.number == 0 else int(generator.integers(2, 7))):
            (folder / f"{night.number:03d}-{number}.txt").write_text(f"{night.event} {night.number} {number}")
    elif night.event == "edited":
        (there[int(generator.integers(len(there)))]).write_text(f"edited in night {night.number}")
        there[int(generator.integers(1, len(there)))].unlink(missing_ok=True)


def quality_after(event: Event, base: float | None, generator: np.random.Generator) -> float:
    """True quality of what is trained from a base of that quality, or from nothing."""
    start = FIRST_QUALITY if base is None else base
    if event == "poisoned":
        return start + float(generator.uniform(*POISON))
    return start * float(np.exp(generator.normal(STEP_MEAN, STEP_SPREAD)))


def score(documents: Sequence[str], model: str, quality: float) -> pl.DataFrame:
    """Bits of each document under a model: what the text costs, the model's quality, and chance of this pair."""
    rows = []
    for document in documents:
        text, pair = _chance(document), _chance(f"{model} {document}")
        size = int(2000 * np.exp(text.normal()))
        bits_per_byte = TEXT_MEAN + text.normal(0, TEXT_SPREAD) + quality + pair.normal(0, OWN_SPREAD)
        rows.append((document, f"g{int(text.integers(40))}", size, size * max(bits_per_byte, 0.1)))
    schema = {"id": pl.String, "group": pl.String, "bytes": pl.Int64, "bits": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _chance(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
