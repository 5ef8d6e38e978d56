"""Small runs -> the constants of the planner's scaling law, and how well it foretells six runs that it never saw.

`python -m benchmarks.scaling run --artifacts DIR` trains what of the grid below is not yet in `scaling.json` beside
this file, one run at a time on one thread, on what `python -m tasks` left in DIR (to `pack`, of the standard library).
`python -m benchmarks.scaling one SPEC ...` is one of them in a process of its own, so that its memory is its own.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares

from tasks.algorithm.scaling_law import LAW_FILE, Law, Span, idle_exponent, multiplied
from tasks.report import write_json

RUNS_FILE = Path(__file__).with_name("scaling.json")
VOCABULARY = 2048
# Every so many documents of the held-out ones, by size, so that a run costs little more than its training.
_EVERY = 3
_HUBER = 1e-3
_MIDDLE_PARAMETERS, _MIDDLE_TOKENS = 7e5, 5e5
# Place among the constants, mean and width (of the logarithm): E of Hoffmann et al. is 1.69 nats a token of 4.4 bytes,
# their alpha 0.34 and beta 0.28; R of Muennighoff et al. is 15.4.
_PRIORS = ((0, 0.55, 0.3), (2, 0.34, 0.3), (4, 0.28, 0.3), (6, 15.4, 1.0))
_PRIOR_WEIGHT = 0.005


def _spec(
    width: int, layers: int, experts: int, thousands: int, *, unique: int = 0, test: bool = False
) -> dict[str, Any]:
    return {"width": width, "n_layers": layers, "n_experts": experts, "top_k": 2, "tokens": thousands * 1000,
            "unique": unique * 1000, "test": test}  # fmt: skip


# Width, layers, experts (0: dense), thousand tokens, thousand different ones (0: all the corpus has).
GRID: tuple[dict[str, Any], ...] = (
    _spec(64, 3, 16, 256), _spec(64, 3, 16, 512), _spec(64, 3, 16, 1024), _spec(96, 4, 16, 256),
    _spec(48, 3, 16, 256), _spec(64, 3, 0, 512), _spec(64, 3, 16, 512, unique=64), _spec(128, 4, 16, 256),
    _spec(64, 3, 64, 512), _spec(48, 3, 0, 768), _spec(96, 4, 16, 512),
    _spec(80, 3, 16, 384, test=True), _spec(80, 3, 16, 384, unique=128, test=True),
    _spec(64, 3, 16, 512, unique=128), _spec(64, 3, 4, 512), _spec(96, 4, 0, 256), _spec(96, 4, 64, 256),
    _spec(64, 3, 16, 1024, unique=256), _spec(64, 4, 8, 1024, test=True), _spec(64, 3, 16, 1024, unique=1024),
    _spec(96, 4, 16, 1024), _spec(112, 4, 32, 256, test=True), _spec(128, 4, 0, 256, test=True),
    _spec(160, 4, 16, 256, test=True), _spec(128, 4, 16, 1024), _spec(48, 3, 16, 1536),
)  # fmt: skip


def blueprint_of(spec: dict[str, Any]) -> Any:
    """Blueprint of a run of the grid: the family's shape, the rest as in preset nano."""
    from tasks.algorithm.blueprint import Blueprint
    from tasks.algorithm.family import family
    from tasks.params import parse

    shape = family(**{key: spec[key] for key in ("width", "n_layers", "n_experts", "top_k")})
    return Blueprint.make(
        parse({
            "blueprint": {"preset": "nano", **shape}, "discover": {"sources": ["python:stdlib"]},
            "tokenizer": {"vocab_size": VOCABULARY}, "train": {"tokens": spec["tokens"]},
        })
    )  # fmt: skip


def one(spec: dict[str, Any], artifacts: Path) -> dict[str, Any]:
    """Train one run in this process; what it reached and took."""
    import torch

    from tasks.algorithm.scoring import document_bits
    from tasks.compute.batches import Batches, open_stream
    from tasks.compute.evaluate import read_held_out
    from tasks.compute.loop import Run
    from tasks.compute.meter import matmul_peak

    torch.set_num_threads(1)
    blueprint = blueprint_of(spec)
    stream = open_stream(artifacts / "pack")
    training, length = blueprint.training, blueprint.shape.sequence_length
    held_out = read_held_out(artifacts / "pack")
    chosen = sorted(range(len(held_out.texts)), key=lambda i: (len(held_out.texts[i]), i))[::_EVERY]
    peaks, base = [matmul_peak("cpu")], peak_rss()
    read = stream[: spec["unique"] or len(stream)]
    run = Run(blueprint, Batches(read, length, training.batch_tokens // length, training.seed))
    began = time.process_time()
    while run.step < blueprint.steps:
        run.advance()
    seconds, rss = time.process_time() - began, peak_rss()
    peaks.append(matmul_peak("cpu"))
    run.model.eval()
    bits = document_bits(run.model, [held_out.tokens[i] for i in chosen]).sum()
    losses = [line["loss"] for line in run.curve]
    return spec | {
        "unique": min(spec["unique"] or len(stream), len(stream)),
        "steps": blueprint.steps,
        "total_parameters": blueprint.total_parameters,
        "active_parameters": blueprint.active_parameters,
        "flops_per_token": blueprint.flops_per_token,
        "predicted_memory_bytes": blueprint.memory_bytes,
        "bits_per_byte": float(bits) / sum(len(held_out.texts[i]) for i in chosen),
        "training_loss": sum(losses[-10:]) / 10,
        "cpu_seconds": seconds,
        "base_rss_bytes": base,
        "peak_rss_bytes": rss,
        "matmul_peak_flops_per_second": peaks,
    }


def peak_rss() -> int:
    """Bytes of this process at its fullest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_grid(artifacts: Path) -> None:
    """Train what is missing; each run is kept as soon as it ended."""
    known = json.loads(RUNS_FILE.read_text()) if RUNS_FILE.is_file() else []
    done = {_key(run["asked"]) for run in known}
    for spec in GRID:
        if _key(spec) in done:
            continue
        found = subprocess.run(
            [sys.executable, "-m", "benchmarks.scaling", "one", json.dumps(spec), "--artifacts", str(artifacts)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        known.append(json.loads(found.stdout) | {"asked": spec})
        RUNS_FILE.write_text("[\n" + ",\n".join(json.dumps(run) for run in known) + "\n]\n")
        last = known[-1]
        print(f"{_key(spec)}: {last['bits_per_byte']:.4f} bits per byte, {last['cpu_seconds']:.0f} s", flush=True)


def _key(spec: dict[str, Any]) -> str:
    return " ".join(f"{key}={spec[key]}" for key in ("width", "n_layers", "n_experts", "tokens", "unique"))


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
        floor, a, alpha, b, beta, idle, repeats = _constants(point)
        worth = worth_of(idle)
        again = np.maximum(tokens / unique - 1, 0)
        data = np.minimum(tokens, unique) + unique * repeats * -np.expm1(-again / repeats)
        return np.asarray(np.log(floor + a / worth**alpha + b / data**beta))

    def residuals(point: NDArray[np.float64]) -> NDArray[np.float64]:
        constants = _constants(point)
        priors = [_PRIOR_WEIGHT * (np.log(constants[i]) - np.log(mean)) / width for i, mean, width in _PRIORS]
        return np.concatenate([predicted(point) - measured, priors])

    starts = itertools.product((0.5, 1.0), (0.2, 0.35, 0.5), (0.2, 0.35, 0.5), (0.1, 0.3))
    found = [
        least_squares(residuals, _point(floor, alpha, beta, idle), loss="huber", f_scale=_HUBER, max_nfev=2000)
        for floor, alpha, beta, idle in starts
    ]
    best = min(found, key=lambda each: float(each.cost))
    floor, a, alpha, b, beta, idle, repeats = (float(f"{value:.6g}") for value in _constants(best.x))
    worth = worth_of(idle)
    return Law(
        floor=floor, parameter_factor=a, parameter_exponent=alpha, token_factor=b, token_exponent=beta,
        idle_exponent=idle, repeats=repeats, spread=round(float(np.std(predicted(best.x) - measured)), 5),
        parameters=Span(low=round(worth.min()), high=round(worth.max())),
        tokens=Span(low=tokens.min(), high=tokens.max()), runs=len(runs), corpus="Python's standard library",
    )  # fmt: skip


def _constants(point: NDArray[np.float64]) -> NDArray[np.float64]:
    """E, A, alpha, B, beta, g, R: positive, A and B as the loss that they stand for in the middle of the runs."""
    floor, at_parameters, alpha, at_tokens, beta, idle, repeats = np.exp(point)
    return np.array([
        floor, at_parameters * _MIDDLE_PARAMETERS**alpha, alpha, at_tokens * _MIDDLE_TOKENS**beta, beta,
        idle / (1 + idle), repeats,
    ])  # fmt: skip


def _point(floor: float, alpha: float, beta: float, idle: float) -> NDArray[np.float64]:
    return np.log([floor, 0.4, alpha, 0.4, beta, idle / (1 - idle), 10.0])


def foretell(law: Law, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Predicted and measured bits per byte of runs."""
    rows = []
    for run in runs:
        shape = blueprint_of(run["asked"]).shape
        said = law.bits_per_byte(shape, tokens=run["tokens"], unique=run["unique"])
        rows.append({"run": _key(run["asked"]), "predicted": said, "measured": run["bits_per_byte"]})
    return rows


def main() -> None:
    """Run or fit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("what", choices=["run", "one", "fit"])
    parser.add_argument("spec", nargs="?", type=json.loads)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="of a workspace, to `pack`")
    options = parser.parse_args()
    if options.what == "one":
        print(json.dumps(one(options.spec, options.artifacts)))
    elif options.what == "run":
        run_grid(options.artifacts)
    else:
        runs = json.loads(RUNS_FILE.read_text())
        law = fit([run for run in runs if not run["asked"]["test"]])
        write_json(LAW_FILE, law.model_dump())
        table = Table(
            "run", "predicted", "measured", "difference", title=f"held out; the fit's spread is {law.spread:.1%}"
        )
        for row in foretell(law, [run for run in runs if run["asked"]["test"]]):
            off = row["predicted"] / row["measured"] - 1
            table.add_row(row["run"], f"{row['predicted']:.4f}", f"{row['measured']:.4f}", f"{off:+.2%}")
        Console().print(table)
        print(law.model_dump_json(indent=1))


if __name__ == "__main__":
    main()
