"""What the gate compared, as a picture: differences by group of documents, or a first model beside its yardsticks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.distribution.bootstrap import Interval
from tasks.distribution.group_differences import FEWEST_DOCUMENTS, GroupDifference

_GROUPS_SHOWN = 24
_LABEL_CHARACTERS = 48
_BETTER, _WORSE, _NEUTRAL, _UNSURE = "#2a7f62", "#b3413a", "#4b5563", "#a3aab5"


def draw_groups(
    picture: Path, groups: Sequence[GroupDifference], interval: Interval, *, margin: float, confidence: float
) -> None:
    """Candidate minus champion in bits per byte, with intervals: over all documents, then a line a group.

    Args:
        picture: PNG to write.
        groups: all of them, the largest first; the first are drawn.
        interval: over all documents, of which the upper end decides.
        margin: what is allowed.
        confidence: of the intervals.
    """
    shown = groups[:_GROUPS_SHOWN]
    documents = sum(group.documents for group in groups)
    labels = [f"all {len(groups)} groups ({documents})", *(f"{_label(g.group)} ({g.documents})" for g in shown)]
    figure = Figure(figsize=(8, 2.0 + 0.26 * len(labels)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(margin, 1e9, color=_WORSE, alpha=0.06, linewidth=0)
    axes.axvline(0, color=_NEUTRAL, linewidth=0.8)
    axes.axvline(margin, color=_WORSE, linewidth=1, linestyle="--", label=f"allowed for all: {margin:+g}")
    axes.axhline(len(shown) + 0.5, color=_UNSURE, linewidth=0.5)
    decided = _WORSE if interval.high > margin else _BETTER
    _draw(
        axes, len(labels), interval.difference, (interval.low, interval.high), color=decided, thickness=2.5, marker="D"
    )
    for place, group in zip(range(len(shown), 0, -1), shown, strict=True):
        _draw(axes, place, group.difference, group.interval, color=_color(group), thickness=1.2, marker="o")
    _span(axes, [interval, *(g.interval for g in shown if g.interval), *((g.difference,) for g in shown)], margin)
    axes.set_yticks(range(len(labels), 0, -1), labels, fontsize=8)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(0.4, len(labels) + 0.6)
    axes.set_xlabel("candidate minus champion, bits per byte (left: better)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="lower right")
    hidden = f"; {len(groups) - len(shown)} smaller groups not shown" if len(groups) > len(shown) else ""
    figure.suptitle(
        f"lines: {confidence * 100:g} % intervals; in brackets: documents; a point alone: one document;\n"
        f"grey: fewer than {FEWEST_DOCUMENTS} documents, or a line across 0, cannot be told from chance{hidden}",
        fontsize=8, color=_NEUTRAL,
    )  # fmt: skip
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


def _draw(
    axes: Axes,
    place: int,
    difference: float,
    interval: tuple[float, float] | None,
    *,
    color: str,
    thickness: float,
    marker: str,
) -> None:
    if interval:
        axes.hlines(place, interval[0], interval[1], color=color, linewidth=thickness)
    axes.plot([difference], [place], marker, color=color, markersize=3 + thickness)


def _color(group: GroupDifference) -> str:
    if group.is_worse:
        return _WORSE
    is_better = group.is_telling and group.interval is not None and group.interval[1] < 0
    return _BETTER if is_better else _UNSURE


def _span(axes: Axes, drawn: Sequence[Sequence[float]], margin: float) -> None:
    """Room for all that is drawn, zero and the margin included."""
    values = [0.0, margin, *(value for values in drawn for value in values)]
    room = 0.06 * (max(values) - min(values)) or 0.001
    axes.set_xlim(min(values) - room, max(values) + room)


def _label(group: str) -> str:
    """The end of a long name says more than its beginning; no dollar starts a formula."""
    short = group if len(group) <= _LABEL_CHARACTERS else "…" + group[1 - _LABEL_CHARACTERS :]
    return short.replace("$", r"\$")
