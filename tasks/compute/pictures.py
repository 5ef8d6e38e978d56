"""Curves, expert loads and bits per byte -> PNG files, the same bytes for the same numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREEN, _GREY, _INK = "#2563eb", "#ea580c", "#16a34a", "#94a3b8", "#1e293b"
_DOTS_PER_INCH = 130


def draw_training(curve: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss, learning rate and gradient norm, and expert load with its entropy and dead experts, over trained tokens."""
    figure, (loss, rate, load, entropy) = _canvas("Training", columns=2, rows=2)
    tokens = [line["tokens"] / 1e6 for line in curve]
    losses = [line["loss"] for line in curve]
    loss.plot(tokens, losses, color=_BLUE, alpha=0.25, linewidth=1)
    loss.plot(tokens, _smooth(losses), color=_BLUE, linewidth=2)
    _name(loss, f"Loss, ends at {_smooth(losses)[-1]:.3f}", x="million tokens", y="nats a token")
    rate.plot(tokens, [line["learning_rate"] for line in curve], color=_ORANGE, linewidth=2)
    _name(rate, "Learning rate and gradient norm", x="million tokens", y="learning rate", colour=_ORANGE)
    norm = rate.twinx()
    norm.plot(tokens, [line["gradient_norm"] for line in curve], color=_GREY, alpha=0.6, linewidth=1)
    norm.set_ylim(bottom=0)
    _name(norm, "", x="", y="gradient norm", colour=_GREY)
    norm.spines[["top", "left"]].set_visible(False)
    loads = [line for line in curve if line.get("expert_load")]
    _draw_balance(load, loads)
    _draw_entropy(entropy, loads)
    _save(figure, path)


def draw_speed(speed: Sequence[tuple[int, float]], path: Path) -> None:
    """Tokens a second over trained tokens: a measurement, so the picture is one too."""
    figure, (pace,) = _canvas("Speed", columns=1)
    figure.set_size_inches(9.2, 2.8)
    tokens, speeds = [point[0] / 1e6 for point in speed], [point[1] for point in speed]
    pace.plot(tokens, speeds, color=_GREEN, alpha=0.25, linewidth=1)
    pace.plot(tokens, _smooth(speeds, over=10), color=_GREEN, linewidth=2, marker="o" if len(speed) == 1 else "")
    pace.set_ylim(bottom=0)
    pace.yaxis.set_major_formatter("{x:,.0f}")
    _name(pace, "Tokens a second, all workers together", x="million tokens", y="tokens a second")
    _save(figure, path)


def _draw_balance(axes: Axes, curve: Sequence[Mapping[str, Any]]) -> None:
    """Busiest and idlest expert of each layer, in multiples of an even share."""
    _name(axes, "Busiest and idlest expert", x="million tokens", y="load, 1 is even")
    if not curve:
        axes.text(0.5, 0.5, "no layer with experts", ha="center", transform=axes.transAxes, color=_GREY)
        return
    tokens = [line["tokens"] / 1e6 for line in curve]
    for layer in range(len(curve[0]["expert_load"])):
        loads = [line["expert_load"][layer] for line in curve]
        colour = _layer_colour(layer, len(curve[0]["expert_load"]))
        even = len(loads[0])
        high, low = [max(load) * even for load in loads], [min(load) * even for load in loads]
        axes.plot(tokens, high, color=colour, linewidth=1.5, label=f"MoE layer {layer + 1}")
        axes.plot(tokens, low, color=colour, linewidth=1.5)
    axes.axhline(1, color=_INK, linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    if len(curve[0]["expert_load"]) <= 6:
        axes.legend(frameon=False, fontsize=8)


def _draw_entropy(axes: Axes, curve: Sequence[Mapping[str, Any]]) -> None:
    """Entropy of each layer's expert load, 1 for an even one, and dotted how many of its experts saw no token."""
    _name(axes, "Entropy of the load, dead experts", x="million tokens", y="entropy, 1 is even")
    if not curve:
        axes.text(0.5, 0.5, "no layer with experts", ha="center", transform=axes.transAxes, color=_GREY)
        return
    tokens, layers = [line["tokens"] / 1e6 for line in curve], len(curve[0]["expert_entropy"])
    dead = axes.twinx()
    for layer in range(layers):
        colour = _layer_colour(layer, layers)
        axes.plot(tokens, [line["expert_entropy"][layer] for line in curve], color=colour, linewidth=1.5)
        counts = [line["dead_experts"][layer] for line in curve]
        dead.plot(tokens, counts, color=colour, linewidth=1, linestyle=":", drawstyle="steps-mid")
    axes.set_ylim(top=1.005)
    dead.set_ylim(0, 1.1 * max(1, *(count for line in curve for count in line["dead_experts"])))
    _name(dead, "", x="", y="experts without a token, dotted")
    dead.spines[["top", "left"]].set_visible(False)


def draw_evaluation(
    bits_per_byte: Sequence[float],
    marks: Mapping[str, float],
    expert_load: Sequence[Sequence[float]],
    path: Path,
) -> None:
    """Held-out documents by bits per byte with marks of other models, and each expert's load in each layer.

    Args:
        bits_per_byte: one a document.
        marks: name -> overall bits per byte, ours first.
        expert_load: share of each expert, one row a layer.
        path: where the picture goes.
    """
    figure, (documents, load) = _canvas("Evaluation on held-out documents", columns=2)
    documents.hist(bits_per_byte, bins=min(40, max(8, len(bits_per_byte) // 4)), color=_BLUE, alpha=0.35)
    for (name, value), colour in zip(marks.items(), [_BLUE, _ORANGE, _GREEN, _GREY], strict=False):
        documents.axvline(value, color=colour, linewidth=2, label=f"{name} {value:.3f}")
    title = f"{len(bits_per_byte)} documents; lines are all bytes together"
    _name(documents, title, x="bits per byte, less is better", y="documents")
    documents.legend(frameon=False, fontsize=8)
    _name(load, "Load of each expert, 1 is even", x="expert", y="MoE layer")
    if expert_load:
        rows = [[share * len(shares) for share in shares] for shares in expert_load]
        image = load.imshow(rows, aspect="auto", cmap="RdBu_r", vmin=0, vmax=2)
        load.grid(visible=False)
        load.set_yticks(range(len(rows)), [str(i + 1) for i in range(len(rows))])
        figure.colorbar(image, ax=load, shrink=0.8)
    _save(figure, path)


def draw_plan(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    chosen: tuple[float, float],
    path: Path,
    *,
    unit: str,
    title: str,
) -> None:
    """Predicted bits per byte over the budget, of the best model of each kind; `unit` is the budget's."""
    figure, (quality,) = _canvas("What a budget buys", columns=1)
    figure.set_size_inches(7.2, 4.2)
    for (name, points), colour in zip(curves.items(), (_ORANGE, _BLUE), strict=True):
        quality.plot([x for x, _ in points], [y for _, y in points], color=colour, linewidth=2, label=f"best {name}")
    quality.plot([chosen[0]], [chosen[1]], "o", color=_INK, label="chosen")
    quality.set_xscale("log")
    quality.xaxis.set_major_formatter("{x:g}")
    quality.xaxis.set_minor_formatter("")
    _name(quality, title, x=f"{unit} of training", y="predicted bits per byte")
    quality.legend(frameon=False, fontsize=8)
    _save(figure, path)


def _canvas(title: str, *, columns: int, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.6 * columns, 3.8 * rows), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, color=_INK, fontsize=14, fontweight="bold", x=0.01, ha="left")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(visible=True, color=_GREY, alpha=0.2)
        each.tick_params(labelsize=8, colors=_INK)
    return figure, axes


def _name(axes: Axes, title: str, *, x: str, y: str, colour: str = _INK) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_xlabel(x, fontsize=9, color=_INK)
    axes.set_ylabel(y, fontsize=9, color=colour)
    axes.tick_params(labelsize=8)


def _save(figure: Figure, path: Path) -> None:
    # The writer's name and version would change the bytes with each release of matplotlib.
    figure.savefig(path, metadata={"Software": None})


def _layer_colour(layer: int, layers: int) -> tuple[float, float, float]:
    share = layer / max(1, layers - 1)
    return (0.10 + 0.75 * share, 0.35 + 0.10 * share, 0.75 - 0.60 * share)


def _smooth(values: Sequence[float], *, over: int = 100) -> list[float]:
    """Exponential mean over about one of `over` parts of the run, corrected for its start (Adam's bias correction)."""
    keep = 1 - min(1.0, over / max(len(values), 1))
    mean, weight, smooth = 0.0, 0.0, []
    for value in values:
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        smooth.append(mean / weight)
    return smooth
