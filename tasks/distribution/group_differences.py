"""Bits of two models per document become a row a source group: how much better or worse, and whether that is chance.

Within a group documents are drawn one by one: the question is this group, not groups like it.
"""

import hashlib

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tasks.distribution.bootstrap import DECIMALS, paired_interval
from tasks.params import Gate

# No draw is beyond the extremes. Without any difference all of n documents are worse in one group of 2^n: from six on
# in fewer than the 2.5 % that an interval of 95 % leaves out there.
FEWEST_DOCUMENTS = 6
# There may be many groups, and nothing is decided by their intervals.
_MOST_RESAMPLES = 2000


class GroupDifference(BaseModel):
    """Candidate minus champion in bits per byte over one group: below zero is better."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str
    documents: int
    size: int = Field(description="bytes")
    difference: float
    interval: tuple[float, float] | None = Field(description="none: one document says nothing about others")

    @property
    def is_telling(self) -> bool:
        """Whether there are enough documents to tell a difference from chance."""
        return self.documents >= FEWEST_DOCUMENTS

    @property
    def is_worse(self) -> bool:
        """Measurably worse: there are enough documents, and the interval is above zero."""
        return self.is_telling and self.interval is not None and self.interval[0] > 0


def group_differences(documents: pl.DataFrame, theirs: np.ndarray, params: Gate) -> tuple[GroupDifference, ...]:
    """A row a group, the largest first.

    Args:
        documents: columns group, bits (of the candidate), bytes.
        theirs: the champion's bits of the same rows.
        params: the `gate` section.
    """
    table = documents.select("group", "bits", "bytes").with_columns(theirs=pl.Series(theirs, dtype=pl.Float64))
    rows = [_difference(str(group), part, params) for (group,), part in table.group_by("group")]
    return tuple(sorted(rows, key=lambda row: (-row.size, row.group)))


def seed_of(group: str, seed: int) -> int:
    """A seed of the group's own, so that no other group's coming or going changes its draws."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{group}".encode()).digest()[:8])


def _difference(group: str, part: pl.DataFrame, params: Gate) -> GroupDifference:
    mine, theirs, size = (part[column].to_numpy() for column in ("bits", "theirs", "bytes"))
    interval = None
    if part.height > 1:
        _, *bounds = paired_interval(
            candidate_bits=mine,
            champion_bits=theirs,
            size_bytes=size,
            groups=np.full(part.height, group),
            resamples=min(params.resamples, _MOST_RESAMPLES),
            confidence=params.confidence,
            seed=seed_of(group, params.seed),
        )
        interval = (bounds[0], bounds[1])
    return GroupDifference(
        group=group,
        documents=part.height,
        size=int(size.sum()),
        difference=round(float((mine.sum() - theirs.sum()) / size.sum()), DECIMALS) + 0.0,
        interval=interval,
    )
