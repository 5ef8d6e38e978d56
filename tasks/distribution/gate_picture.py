"""What the gate compared, as a picture: differences by group of documents, or a first model beside its yardsticks."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from tasks.distribution.bootstrap import Interval

_GROUPS_SHOWN = 20
_LABEL_CHARACTERS = 48
_BETTER, _WORSE, _NEUTRAL = "#2a7f62", "#b3413a", "#4b5563"


def draw_groups(
    picture: Path, documents: pl.DataFrame, theirs: np.ndarray, interval: Interval, *, margin: float
) -> None:
    """Candidate minus champion in bits per byte: over all with its interval, and in the largest groups.

    Args:
        picture: PNG to write.
        documents: columns group, bits (of the candidate), bytes.
        theirs: the champion's bits of the same rows.
        interval: over all documents.
        margin: what is allowed.
    """
    groups = (
        documents.with_columns(difference=pl.col("bits") - pl.Series(theirs))
        .group_by("group")
        .agg(pl.col("difference").sum() / pl.col("bytes").sum(), pl.col("bytes").sum())
        .sort("bytes", "group", descending=[True, False])
        .head(_GROUPS_SHOWN)
    )
    labels = ["all documents", *(_label(group) for group in groups["group"])]
    values = [interval.difference, *groups["difference"]]
    figure = Figure(figsize=(8, 1.4 + 0.28 * len(labels)), layout="constrained")
    axes = figure.subplots()
    places = range(len(labels), 0, -1)
    axes.barh(
        list(places)[1:], values[1:], color=[_WORSE if value > 0 else _BETTER for value in values[1:]], height=0.6
    )
    error = [[max(0.0, interval.difference - interval.low)], [max(0.0, interval.high - interval.difference)]]
    axes.errorbar([interval.difference], [len(labels)], xerr=error, fmt="o", color=_NEUTRAL, capsize=4)
    axes.axvline(0, color=_NEUTRAL, linewidth=0.8)
    axes.axvline(margin, color=_WORSE, linewidth=1, linestyle="--", label=f"allowed: {margin:g}")
    axes.set_yticks(list(places), labels, fontsize=8)
    axes.set_xlabel("candidate minus champion, bits per byte (left: better)")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=100, metadata={"Software": None})


def draw_yardsticks(picture: Path, bits_per_byte: Mapping[str, float]) -> None:
    """A first model, first, beside its yardsticks."""
    labels, values = list(bits_per_byte), list(bits_per_byte.values())
    figure = Figure(figsize=(8, 0.8 + 0.45 * len(labels)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(labels), 0, -1), values, color=[_BETTER, *[_NEUTRAL] * (len(labels) - 1)], height=0.6)
    axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    axes.set_yticks(range(len(labels), 0, -1), labels, fontsize=8)
    axes.set_xlabel("bits per byte of held-out documents (less is better)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=100, metadata={"Software": None})


def _label(group: str) -> str:
    """The end of a long name says more than its beginning; no dollar starts a formula."""
    short = group if len(group) <= _LABEL_CHARACTERS else "…" + group[1 - _LABEL_CHARACTERS :]
    return short.replace("$", r"\$")
