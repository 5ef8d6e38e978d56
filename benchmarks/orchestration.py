"""What orchestration costs beside the work: `abcd up`, a deployed run that has nothing to do, a night with nothing new.

`python -m benchmarks.orchestration --json FILE`. In a temporary clone with a small model that is made once; then each
is measured several times, as a user sees it, from outside through the API; medians count. Run it on a quiet machine.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
NAME = "small"
# Small enough for seconds of training; steps that change nothing cost the same for any model.
SMALL = {
    "blueprint.sequence_length": 64, "blueprint.width": 64, "blueprint.n_layers": 2, "blueprint.n_heads": 2,
    "blueprint.dense_ffn_width": 128, "blueprint.expert_ffn_width": 64, "blueprint.n_experts": 4,
    "tokenizer.vocab_size": 512, "train.tokens": 131_072, "train.batch_tokens": 1024, "evaluate.sample_tokens": 16,
    "gate.resamples": 500,
}  # fmt: skip
# The most that each may take on two quiet cores.
TARGETS = {
    "abcd up, second start": 25.0,
    "pipeline with nothing to do, trigger to first line": 3.5,
    "pipeline with nothing to do, trigger to end": 12.0,
    "nightly with nothing new, trigger to end": 15.0,
    "dvc repro with nothing to do": 1.5,
}
_ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_RUN_SECONDS = 600.0


class Bench:
    """A clone with a release, and its platform."""

    def __init__(self, root: Path, corpus: Path) -> None:
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ABCD_", "PREFECT_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        port = self.url.rpartition(":")[2]
        self.environment = {**kept, "PATH": path, "PYTHONPATH": str(root), "ABCD_PORT": port}
        subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
        sets = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
        self.abcd("run", "--source", str(corpus), "--name", NAME, *sets)
        self.abcd("promote", f"{NAME}@v1")
        # Deployed runs work on what is committed.
        self.run("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qam", "small")

    def run(self, *command: str) -> str:
        """Run a command in the clone to its good end; what it said."""
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"{command} ended with code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return done.stdout

    def abcd(self, *arguments: str) -> str:
        """Run a command of the project."""
        return self.run(sys.executable, "-m", "flows.cli", *arguments)

    @contextmanager
    def up(self) -> Iterator[float]:
        """The platform while the block runs; seconds until its UI answered and all was registered."""
        started = time.monotonic()
        self.abcd("up", "--detach")
        urllib.request.urlopen(self.url, timeout=_RUN_SECONDS).close()
        seconds = time.monotonic() - started
        try:
            yield seconds
        finally:
            self.abcd("down")

    def call(self, path: str, body: Any = None) -> Any:
        """Ask the API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=_RUN_SECONDS) as answer:
            return json.load(answer)

    def run_deployment(self, flow: str, deployment: str) -> tuple[float, float]:
        """Start a run; seconds until the first line of the run itself, and until its end."""
        found = self.call(f"/deployments/name/{flow}/{deployment}")
        started = time.time()
        run = self.call(f"/deployments/{found['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})["id"]
        while (now := self.call(f"/flow_runs/{run}"))["state"]["type"] not in _ENDED:
            if time.time() - started > _RUN_SECONDS:
                raise RuntimeError(f"{deployment} is {now['state']['name']} after {_RUN_SECONDS:.0f} s")
            time.sleep(0.1)
        if now["state"]["type"] != "COMPLETED":
            raise RuntimeError(f"{deployment} ended {now['state']['name']}: {now['state']['message']}")
        return self._first_line(run) - started, _seconds_of(now["end_time"]) - started

    def _first_line(self, run: str) -> float:
        """When the run itself wrote its first line; lines reach the server in batches, after it has ended too."""
        for _ in range(100):
            lines = self.call("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"})
            if any("Running stage 'train'" in line["message"] for line in lines):
                raise RuntimeError(f"run {run} trained, so it did have something to do: no figure")
            own = [line["timestamp"] for line in lines if line["name"] == "prefect.flow_runs"]
            if own:
                return _seconds_of(own[0])
            time.sleep(0.1)
        raise RuntimeError(f"run {run} has no line in its log")


def _seconds_of(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def measure(bench: Bench, repeats: int) -> dict[str, list[float]]:
    """Seconds of each, all that were taken."""
    figures: dict[str, list[float]] = {name: [] for name in TARGETS}
    with bench.up():  # makes the database; the first runs find the new champion and the commit
        bench.run_deployment("pipeline", "pipeline")
        bench.run_deployment("nightly", "nightly")
    for _ in range(repeats):
        with bench.up() as seconds:
            figures["abcd up, second start"].append(seconds)
            bench.run_deployment("pipeline", "pipeline")  # while the server and the worker still settle
            first, end = bench.run_deployment("pipeline", "pipeline")
            figures["pipeline with nothing to do, trigger to first line"].append(first)
            figures["pipeline with nothing to do, trigger to end"].append(end)
            figures["nightly with nothing new, trigger to end"].append(bench.run_deployment("nightly", "nightly")[1])
        bench.run(sys.executable, "-m", "dvc", "repro")
        figures["dvc repro with nothing to do"].append(
            timed(lambda: bench.run(sys.executable, "-m", "dvc", "repro")),
        )
    return figures


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def small_corpus(folder: Path) -> Path:
    """Short files of this interpreter's standard library."""
    folder.mkdir()
    library = Path(os.__file__).parent
    files = [file for file in sorted(library.glob("*.py")) if 300 < file.stat().st_size < 12_000]
    for file in files[:150]:
        shutil.copy(file, folder)
    return folder


def main() -> None:
    """Measure all, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the raw figures")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "clone", small_corpus(Path(folder) / "corpus"))
        figures = measure(bench, options.repeats)
    table = Table("what", "median s", "target s", "all")
    for name, taken in figures.items():
        table.add_row(
            name, f"{statistics.median(taken):.2f}", f"{TARGETS[name]}", ", ".join(f"{one:.2f}" for one in taken)
        )
    Console().print(table)
    machine = {"cpu": platform.machine(), "cores": psutil.cpu_count(), "python": platform.python_version()}
    medians = {name: statistics.median(taken) for name, taken in figures.items()}
    found = {"machine": machine, "medians": medians, "targets": TARGETS, "all": figures}
    options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
