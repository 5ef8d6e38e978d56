"""How often the gate is wrong: worlds drawn from two real models' held-out bits become rates of promotion.

`python -m benchmarks.gate --json FILE [--tables FIRST SECOND]`. The tables are `artifacts/evaluate/documents.parquet`
of two runs of one corpus with other `train.seed`; not given, both are made in a temporary clone (minutes). A world is
as many source groups as there are, drawn with replacement; the true difference is set by shifting the candidate's bits
in proportion to bytes. Every world goes through the gate's own code with the `gate` section of params.yaml.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks.retrain import ROOT, train_twice
from benchmarks.worlds import (
    CHAMPION,
    DIFFERENCES,
    WORSE,
    Population,
    coverage,
    live,
    look,
    population_of,
    promotions,
    synthetic,
)
from tasks import params as params_file
from tasks.distribution.bootstrap import paired_interval
from tasks.distribution.group_differences import group_differences
from tasks.distribution.verdict import Candidate, judge_against, judge_same
from tasks.params import Gate

GROUP_COUNTS = (28, 56, 112, 224)
SYNTHETIC_COUNTS = (5, 10, 28, 100, 1000)
_FEW_RESAMPLES = 2000


def check_shift(population: Population, params: Gate) -> None:
    """See that shifting an interval is what shifting the bits gives."""
    bits_G, bytes_G = population
    shifted, still = (look(bits_G + delta * bytes_G, bytes_G, params) for delta in (WORSE, 0.0))
    if not np.allclose(shifted, np.array(still) + WORSE, atol=2e-6):
        raise RuntimeError(f"the interval does not move with the bits: {still} became {shifted}")


def real_verdicts(mine: pl.DataFrame, theirs: pl.DataFrame, params: Gate) -> dict[str, Any]:
    """What the gate says of the second model against the first, the other way round, and of the first again."""
    said: dict[str, Any] = {}
    for name, new, old in (("second against first", mine, theirs), ("first against second", theirs, mine)):
        old_bits = new.select("id").join(old, on="id", how="left", maintain_order="left")["bits"].to_numpy()
        size, groups = new["bytes"].to_numpy(), new["group"].to_numpy()
        found = paired_interval(
            candidate_bits=new["bits"].to_numpy(), champion_bits=old_bits, size_bytes=size, groups=groups,
            resamples=params.resamples, confidence=params.confidence, seed=params.seed,
        )  # fmt: skip
        verdict = judge_against(
            _candidate(new), CHAMPION, params, champion_bits_per_byte=float(old_bits.sum() / size.sum()),
            interval=found, same_held_out=True, differences=group_differences(new, old_bits, params),
        )  # fmt: skip
        said[name] = {"decision": verdict.decision, "reasons": verdict.reasons, "interval": found}
    again = judge_same(_candidate(theirs), CHAMPION, params)
    return {**said, "first against itself": {"decision": again.decision, "reasons": again.reasons}}


def draw_curve(picture: Path, by_groups: dict[int, dict[str, dict[str, Any]]], margin: float) -> None:
    """Share promoted by true difference, a line a number of groups, with Wilson bands."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for count, rates in by_groups.items():
        rows = list(rates.values())
        (line,) = axes.plot(DIFFERENCES, [row["rate"] for row in rows], label=f"{count} groups")
        low, high = ([row[end] for row in rows] for end in ("low", "high"))
        axes.fill_between(DIFFERENCES, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.axvline(margin, color="#b3413a", linestyle="--", linewidth=1, label=f"allowed: {margin:+g}")
    axes.set_xlabel("true difference, candidate minus champion, bits per byte (left: better)")
    axes.set_ylabel("share promoted")
    axes.grid(alpha=0.2)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=100, metadata={"Software": None})


def simulate(mine: pl.DataFrame, theirs: pl.DataFrame, params: Gate, count: int) -> dict[str, Any]:
    """All figures; `count` worlds of the real number of groups, fewer of the others."""
    population = population_of(mine, theirs)
    check_shift(population, params)
    few = params.model_copy(update={"resamples": _FEW_RESAMPLES})
    own, margin = len(population.bits), params.margin_bits_per_byte
    curves: dict[int, dict[str, Any]] = {}
    covered: dict[str, Any] = {}
    for groups in dict.fromkeys((own, *GROUP_COUNTS)):
        said = params if groups == own else few
        worlds = live(population.worlds_of(groups), 0.0, count if groups == own else count // 4, said, seed=groups)
        curves[groups], covered[f"real, {groups} groups"] = promotions(worlds, groups, said), coverage(worlds, margin)
    for correlation in (0.0, 0.5):
        for groups in SYNTHETIC_COUNTS:
            draw, truth = synthetic(groups, correlation)
            worlds = live(draw, truth, count // (16 if groups == 1000 else 4), few, seed=groups)
            covered[f"synthetic, correlation {correlation:g}, {groups} groups"] = coverage(worlds, margin)
    return {"groups": own, "promoted": curves, "coverage": covered, "verdicts": real_verdicts(mine, theirs, params)}


def show(found: dict[str, Any]) -> None:
    """Print two tables and what the gate said of the real pair."""
    console = Console(width=140)
    promoted = Table("true difference", *(f"promoted, {groups} groups" for groups in found["promoted"]))
    for delta in DIFFERENCES:
        promoted.add_row(f"{delta:+.4f}", *(_percent(rates[f"{delta:+.4f}"]) for rates in found["promoted"].values()))
    covered = Table("worlds", "holds truth", "truth above", "+0.02 promoted", "percentile holds", "truth above")
    for name, row in found["coverage"].items():
        covered.add_row(name, *map(_percent, row.values()))
    console.print(promoted, covered)
    for name, verdict in found["verdicts"].items():
        console.print(f"{name}: {verdict['decision']}: {'; '.join(verdict['reasons'])}", highlight=False)


def _percent(row: dict[str, Any]) -> str:
    return f"{row['rate']:.1%} ({row['low']:.1%}-{row['high']:.1%})"


def _candidate(documents: pl.DataFrame) -> Candidate:
    bits_per_byte = float(documents["bits"].to_numpy().sum() / documents["bytes"].to_numpy().sum())
    groups = documents["group"].n_unique()
    return Candidate(weights_sha256="", bits_per_byte=bits_per_byte, documents=documents.height, groups=groups)


def main() -> None:
    """Simulate, print tables, write JSON and the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the raw figures")
    parser.add_argument("--tables", type=Path, nargs=2, metavar=("FIRST", "SECOND"), help="made if not given")
    parser.add_argument("--picture", type=Path, help="file for the curve of promotions (PNG)")
    parser.add_argument("--worlds", type=int, default=4000, help="of the real number of groups")
    options = parser.parse_args()
    params = params_file.load(ROOT / params_file.PARAMS_FILE).gate
    with tempfile.TemporaryDirectory() as folder:
        theirs, mine = (pl.read_parquet(path) for path in options.tables or train_twice(Path(folder)))
    found = simulate(mine, theirs, params, options.worlds)
    show(found)
    if options.picture:
        draw_curve(options.picture, found["promoted"], params.margin_bits_per_byte)
    options.json.write_text(json.dumps({"params": params.model_dump(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
