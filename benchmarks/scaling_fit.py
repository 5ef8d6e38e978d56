"""Runs of `scaling.json` -> the constants of the law, how well it foretells runs that it never saw, and a picture."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares

from benchmarks.scaling import blueprint_of, key_of
from tasks.algorithm.scaling_law import LAW_FILE, Law, Span, idle_exponent, multiplied
from tasks.report import write_json

PICTURE_FILE = Path(__file__).parents[1] / "docs" / "plan.png"
# Bits per byte of all held-out documents over those of the third that runs are scored on, of the first run of the grid.
_ALL_OVER_SCORED = 1.0612
# Beyond so much a run counts less. Smaller, it makes the few runs on most tokens count for nothing.
_HUBER = 5e-2
_MIDDLE_PARAMETERS, _MIDDLE_TOKENS = 7e5, 5e5
# Place among the constants, mean and width (of the logarithm): E of Hoffmann et al. is 1.69 nats a token of 4.4 bytes,
# their alpha 0.34, their beta 0.28. Ten billion tokens are worth 16 times as many at most: Muennighoff et al. have
# 1 + 15.4.
_PRIORS = ((0, 0.55, 0.3), (2, 0.34, 0.3), (4, 0.28, 0.3))
_AGAIN_TOKENS, _AGAIN, _AGAIN_WIDTH = 1e10, 16.4, 0.3
_PRIOR_WEIGHT = 0.003
# E, loss of parameters and of tokens in the middle, alpha, beta, odds of g, q, U_0: lowest and highest.
_LOWEST = (0.1, 0.01, 0.05, 0.01, 0.05, 1e-3, 0.01, 1e4)
_HIGHEST = (1.2, 5.0, 1.5, 5.0, 1.5, 3.0, 1.0, 1e9)


def fit(runs: list[dict[str, Any]]) -> Law:
    """Constants that make the logarithms of predicted and measured bits per byte least different, by Huber's measure.

    From many starts, as Hoffmann et al. (https://arxiv.org/abs/2203.15556, appendix D.3) do it. What runs this small
    cannot tell is held near what is published by weak priors (`_PRIORS`), each worth about one run.
    """
    measured = np.log([run["bits_per_byte"] for run in runs])
    sides = [multiplied(blueprint_of(run["asked"]).shape) for run in runs]
    active, total = (np.array(side, dtype=float) for side in zip(*sides, strict=True))
    tokens, unique = (np.array([run[key] for run in runs], dtype=float) for key in ("tokens", "unique"))

    def worth_of(idle: float) -> NDArray[np.float64]:
        return active * (total / active) ** np.array([idle_exponent(idle, each) for each in tokens])

    def predicted(point: NDArray[np.float64]) -> NDArray[np.float64]:
        floor, a, alpha, b, beta, idle, exponent, at = _constants(point)
        worth = worth_of(idle)
        data = tokens / np.hypot(1.0, tokens / (unique * (unique / at) ** exponent))
        return np.asarray(np.log(floor + a / worth**alpha + b / data**beta))

    def residuals(point: NDArray[np.float64]) -> NDArray[np.float64]:
        constants = _constants(point)
        priors = [_PRIOR_WEIGHT * (np.log(constants[i]) - np.log(mean)) / width for i, mean, width in _PRIORS]
        exponent, at = constants[-2:]
        again = exponent * np.log(_AGAIN_TOKENS / at) - np.log(_AGAIN)
        return np.concatenate([predicted(point) - measured, priors, [_PRIOR_WEIGHT * again / _AGAIN_WIDTH]])

    starts = itertools.product((0.5, 1.0), (0.2, 0.35, 0.5), (0.2, 0.35, 0.5), (0.1, 0.3))
    found = [
        least_squares(
            residuals,
            _point(floor, alpha, beta, idle),
            loss="huber",
            f_scale=_HUBER,
            max_nfev=500,
            bounds=(np.log(_LOWEST), np.log(_HIGHEST)),
        )
        for floor, alpha, beta, idle in starts
    ]
    best = min(found, key=lambda each: float(each.cost))
    floor, a, alpha, b, beta, idle, exponent, at = (float(f"{value:.6g}") for value in _constants(best.x))
    worth, spread = worth_of(idle), np.std(predicted(best.x) - measured)
    return Law(
        floor=floor, parameter_factor=a, parameter_exponent=alpha, token_factor=b, token_exponent=beta,
        idle_exponent=idle, unique_exponent=exponent, unique_at=at, spread=round(float(spread), 5),
        parameters=Span(low=round(worth.min()), high=round(worth.max())),
        tokens=Span(low=tokens.min(), high=tokens.max()), runs=len(runs), corpus="Python's standard library",
    )  # fmt: skip


def _constants(point: NDArray[np.float64]) -> NDArray[np.float64]:
    """E, A, alpha, B, beta, g, q, U_0: positive, A and B as the loss that they stand for in the middle of the runs."""
    floor, at_parameters, alpha, at_tokens, beta, idle, exponent, at = np.exp(point)
    return np.array([
        floor, at_parameters * _MIDDLE_PARAMETERS**alpha, alpha, at_tokens * _MIDDLE_TOKENS**beta, beta,
        idle / (1 + idle), exponent, at,
    ])  # fmt: skip


def _point(floor: float, alpha: float, beta: float, idle: float) -> NDArray[np.float64]:
    return np.log([floor, 0.4, alpha, 0.4, beta, idle / (1 - idle), 0.25, 2e6])


def foretell(law: Law, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Predicted and measured bits per byte of runs."""
    rows = []
    for run in runs:
        shape = blueprint_of(run["asked"]).shape
        said = law.bits_per_byte(shape, tokens=run["tokens"], unique=run["unique"])
        rows.append({"run": key_of(run["asked"]), "predicted": said, "measured": run["bits_per_byte"]})
    return rows


def fit_all(scored: list[dict[str, Any]]) -> None:
    """Write law and picture, and print how far it is off where it was not fitted."""
    runs = [run | {"bits_per_byte": _ALL_OVER_SCORED * run["bits_per_byte"]} for run in scored]
    law = fit([run for run in runs if not run["asked"]["test"]])
    write_json(LAW_FILE, law.model_dump())
    draw(law, runs)
    table = Table("run", "predicted", "measured", "difference", title=f"held out; the fit's spread is {law.spread:.1%}")
    for row in foretell(law, [run for run in runs if run["asked"]["test"]]):
        off = row["predicted"] / row["measured"] - 1
        table.add_row(row["run"], f"{row['predicted']:.4f}", f"{row['measured']:.4f}", f"{off:+.2%}")
    Console().print(table)
    Console().print_json(law.model_dump_json())


def draw(law: Law, runs: list[dict[str, Any]]) -> None:
    """Predicted against measured bits per byte, and the law's curves with the runs on whole text."""
    figure = Figure(figsize=(10, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for test, colour, label in ((False, "#2563eb", "fitted"), (True, "#ea580c", "held out")):
        rows = foretell(law, [run for run in runs if run["asked"]["test"] is test])
        left.plot([r["measured"] for r in rows], [r["predicted"] for r in rows], "o", color=colour, label=label)
    ends = [min(run["bits_per_byte"] for run in runs) - 0.05, max(run["bits_per_byte"] for run in runs) + 0.05]
    left.plot(ends, ends, color="#94a3b8", linewidth=1)
    left.set_xlabel("measured bits per byte")
    left.set_ylabel("predicted")
    left.legend(frameon=False)
    shown = {(64, 16): "#2563eb", (96, 16): "#16a34a", (128, 16): "#ea580c"}
    for (width, experts), colour in shown.items():
        wanted = {"width": width, "n_experts": experts, "unique": 0}
        mine = [run for run in runs if wanted.items() <= run["asked"].items()]
        tokens = np.geomspace(1.5e5, 4e6)
        shape = blueprint_of(mine[0]["asked"]).shape
        curve = [law.bits_per_byte(shape, tokens=each, unique=mine[0]["unique"]) for each in tokens]
        right.plot(tokens, curve, color=colour, label=f"width {width}, {experts} experts")
        right.plot([r["tokens"] for r in mine], [r["bits_per_byte"] for r in mine], "o", color=colour)
    right.set_xscale("log")
    right.set_xlabel("tokens")
    right.set_ylabel("bits per byte")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.2)
    figure.savefig(PICTURE_FILE, metadata={"Software": None})
