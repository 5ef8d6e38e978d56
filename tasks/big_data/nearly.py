"""Documents that were kept, though a limit a little stricter would drop them: what a threshold is judged by, beside
what it dropped.
"""

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from tasks.big_data.buffers import text_buffers
from tasks.big_data.kernel import statistics
from tasks.big_data.rules import RULES, reasons_against
from tasks.presets import OFF
from tasks.thresholds import Clean, Thresholds

STRICTER = 0.2  # part of its value by which a limit is moved


def nearly_dropped(frame: pl.DataFrame, clean: Clean, presets: Mapping[str, str], number: int) -> dict[str, list[str]]:
    """For each rule of cleaning, ids of the first documents of a frame that it would drop, were it stricter.

    Args:
        frame: `id`, `source`, `language`, `text`.
        clean: its section of the params.
        presets: what `clean` said of each source, its kind first.
        number: of documents for each rule, at most.
    """
    found: dict[str, list[str]] = {}
    for (source,), rows in frame.group_by("source", maintain_order=True):
        kind: Any = presets[str(source)].partition(":")[0]
        against = reasons_against(
            statistics(*text_buffers(rows["text"])), stricter(clean.thresholds(kind)), rows["language"].to_list()
        )
        for id_, reasons in zip(rows["id"], against, strict=True):
            for reason in reasons:
                found.setdefault(reason, []).append(id_)
    return {reason: sorted(ids)[:number] for reason, ids in found.items()}


def stricter(limits: Thresholds) -> Thresholds:
    """Each limit that is one, moved towards what it drops less of; what is on or off stays."""
    return limits.model_copy(update={key: _moved(key, getattr(limits, key)) for key in RULES.values()})


def _moved(key: str, value: Any) -> Any:
    if isinstance(value, bool) or value == OFF[key]:
        return value
    if isinstance(value, tuple):
        return tuple(_moved(key, each) for each in value)
    if key.startswith("min_"):
        return math.ceil(value * (1 + STRICTER)) if isinstance(value, int) else value * (1 + STRICTER)
    return math.floor(value * (1 - STRICTER)) if isinstance(value, int) else value * (1 - STRICTER)
