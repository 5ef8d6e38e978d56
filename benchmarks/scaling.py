"""Small runs -> the constants of the planner's scaling law, and how well it foretells six runs that it never saw.

`python -m benchmarks.scaling run --artifacts DIR` trains what of the grid below is not yet in `scaling.json` beside
this file, one run at a time on one thread, on what `python -m tasks` left in DIR (to `pack`, of the standard library).
`python -m benchmarks.scaling one SPEC ...` is one of them in a process of its own, so that its memory is its own.
`fit` writes the law and says how well it foretells the runs that are held out; `time` does the same for seconds and
memory: this machine is probed, then some steps of each of those shapes are trained, in turns.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RUNS_FILE = Path(__file__).with_name("scaling.json")
TIME_FILE = Path(__file__).with_name("scaling_time.json")
VOCABULARY = 2048
# Every so many documents of the held-out ones, by size, so that a run costs little more than its training.
_EVERY = 3
_TIMED_STEPS = 8


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
    _spec(64, 3, 16, 1024, unique=256), _spec(64, 4, 8, 1024, test=True), _spec(112, 4, 32, 256, test=True),
    _spec(128, 4, 0, 256, test=True), _spec(160, 4, 16, 256, test=True), _spec(96, 4, 16, 1024),
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


def timed(spec: dict[str, Any], artifacts: Path) -> dict[str, float]:
    """CPU seconds of a step and memory of a few steps of a run."""
    import torch

    from tasks.compute.batches import Batches, open_stream
    from tasks.compute.loop import Run

    torch.set_num_threads(1)
    blueprint = blueprint_of(spec)
    training, length = blueprint.training, blueprint.shape.sequence_length
    batches = Batches(open_stream(artifacts / "pack"), length, training.batch_tokens // length, training.seed)
    run = Run(blueprint, batches)
    run.advance()
    began = time.process_time()
    for _ in range(_TIMED_STEPS):
        run.advance()
    return {"seconds_per_step": (time.process_time() - began) / _TIMED_STEPS, "peak_rss_bytes": fullest()}


def fullest() -> int:
    """Bytes of this process at its fullest; `ru_maxrss` would also know of the process that it was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def one(spec: dict[str, Any], artifacts: Path) -> dict[str, Any]:
    """Train one run in this process; what it reached and took."""
    import torch

    from tasks.algorithm.scoring import document_bits
    from tasks.compute.batches import Batches, open_stream
    from tasks.compute.evaluate import read_held_out
    from tasks.compute.loop import Run
    from tasks.compute.meter import matmul_peak, peak_rss

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


def time_held_out(artifacts: Path) -> list[dict[str, Any]]:
    """Seconds and memory foretold and measured of the shapes that are held out; a probe before every second of them."""
    from infra.settings import Settings
    from tasks.compute.probe import measure

    # This process is not Ray's worker: what it holds without a model is told by the narrowest of the grid.
    narrow = _in_process("timed", GRID[0], artifacts)["peak_rss_bytes"] - blueprint_of(GRID[0]).memory_bytes
    rows: list[dict[str, Any]] = []
    for number, spec in enumerate(spec for spec in GRID if spec["test"] and not spec["unique"]):
        if number % 2 == 0:
            machine = measure(Settings(device="cpu", workers=1))
        blueprint = blueprint_of(spec)
        found = _in_process("timed", spec, artifacts)
        predicted = {
            "seconds_per_step": machine.seconds_per_step(blueprint),
            "peak_rss_bytes": narrow + blueprint.memory_bytes,
        }
        rows.append({"run": key_of(spec), "predicted": predicted, "measured": found})
    return rows


def _in_process(what: str, spec: dict[str, Any], artifacts: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scaling", what, json.dumps(spec), "--artifacts", str(artifacts)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def run_grid(artifacts: Path) -> None:
    """Train what is missing; each run is kept as soon as it ended."""
    known = json.loads(RUNS_FILE.read_text()) if RUNS_FILE.is_file() else []
    done = {key_of(run["asked"]) for run in known}
    for spec in GRID:
        if key_of(spec) in done:
            continue
        known.append(_in_process("one", spec, artifacts) | {"asked": spec})
        RUNS_FILE.write_text("[\n" + ",\n".join(json.dumps(run) for run in known) + "\n]\n")
        last = known[-1]
        print(f"{key_of(spec)}: {last['bits_per_byte']:.4f} bits per byte, {last['cpu_seconds']:.0f} s", flush=True)


def key_of(spec: dict[str, Any]) -> str:
    """A run in one line."""
    return " ".join(f"{key}={spec[key]}" for key in ("width", "n_layers", "n_experts", "tokens", "unique"))


def show_time(rows: list[dict[str, Any]]) -> None:
    """Keep them beside the runs and print them."""
    TIME_FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    table = Table("run", "CPU s a step", "predicted", "", "MiB", "predicted", "")
    for row in rows:
        said, found = row["predicted"], row["measured"]
        cells = [row["run"]]
        for key, unit, form in (("seconds_per_step", 1, ".3f"), ("peak_rss_bytes", 2**20, ".0f")):
            cells += [format(each[key] / unit, form) for each in (found, said)] + [f"{said[key] / found[key] - 1:+.1%}"]
        table.add_row(*cells)
    Console().print(table)


def main() -> None:
    """Run or fit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("what", choices=["run", "one", "fit", "time", "timed"])
    parser.add_argument("spec", nargs="?", type=json.loads)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="of a workspace, to `pack`")
    options = parser.parse_args()
    if options.what in ("one", "timed"):
        work = one if options.what == "one" else timed
        print(json.dumps(work(options.spec, options.artifacts)))
    elif options.what == "time":
        show_time(time_held_out(options.artifacts))
    elif options.what == "run":
        run_grid(options.artifacts)
    else:
        from benchmarks.scaling_fit import fit_all

        fit_all(json.loads(RUNS_FILE.read_text()))


if __name__ == "__main__":
    main()
