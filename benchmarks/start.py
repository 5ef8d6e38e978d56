"""Fixed overheads of a run, part by part: what `make run` costs beyond the work itself.

`python -m benchmarks.start --json FILE`. Each part is started as the pipeline starts it, several times; the median of
wall-clock and CPU seconds (of the whole process tree) counts. The limit beside each is a bare interpreter's start.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from flows.guard import become_subreaper, end_descendants

SERVER = """
import os, pathlib, sys
from flows import server
from infra.settings import Settings
settings = Settings(workspace=pathlib.Path.cwd(), prefect_home=pathlib.Path(sys.argv[1]))
server.configure(settings, quiet=True)
with server.prefect_server(settings):
    pass
"""
RAY = """
from infra.settings import Settings
from tasks.compute import cluster
with cluster.start(Settings.load(), micro_shards=4):
    pass
"""
GRAPH = [sys.executable, "-m", "dvc", "status", "--json", "blueprint"]


def python(code: str, *arguments: str) -> list[str]:
    """Command that runs code in a new interpreter."""
    return [sys.executable, "-c", code, *arguments]


def measure(command: list[str], repeats: int) -> dict[str, float]:
    """Median wall-clock and CPU seconds of a command and all its children."""
    walls, cpus = [], []
    for _ in range(repeats):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[:4]} ended with code {done.returncode}: {done.stderr[-2000:]}")
        end_descendants()  # what outlives a command (Ray's daemons) is ended, buried and so counted
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.monotonic() - started)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall_seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}


def parts(folder: Path) -> dict[str, Callable[[], list[str]]]:
    """Name of each part and what makes its command."""
    fresh = iter(range(1000))
    return {
        "python, nothing imported": lambda: python("pass"),
        "import dvc": lambda: python("import dvc.repo"),
        "import prefect": lambda: python("import prefect"),
        "import polars": lambda: python("import polars"),
        "import great_expectations": lambda: python("import great_expectations"),
        "import torch": lambda: python("import torch"),
        "import transformers' model": lambda: python("from transformers import DeepseekV3ForCausalLM"),
        "abcd --help": lambda: [sys.executable, "-m", "flows.cli", "--help"],
        "dvc status of one step": lambda: GRAPH,
        "Prefect server, new database": lambda: python(SERVER, str(folder / f"new{next(fresh)}")),
        "Prefect server, existing database": lambda: python(SERVER, str(folder / "kept")),
        "Ray on this machine, start and stop": lambda: python(RAY),
    }


def main() -> None:
    """Measure all parts, print a table, write JSON."""
    become_subreaper()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the raw figures")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each part; the median counts")
    options = parser.parse_args()
    table = Table("part", "wall s", "CPU s", "x bare python")
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        made = parts(Path(folder))
        measure(made["Prefect server, existing database"](), 1)  # makes the database that later starts find
        for name, command in made.items():
            figures[name] = measure(command(), 1 if "new database" in name else options.repeats)
            ratio = figures[name]["wall_seconds"] / figures["python, nothing imported"]["wall_seconds"]
            row = figures[name]
            table.add_row(name, f"{row['wall_seconds']:.2f}", f"{row['cpu_seconds']:.2f}", f"{ratio:.0f}")
    Console().print(table)
    machine = {"cpu": platform.machine(), "cores": psutil.cpu_count(), "python": platform.python_version()}
    options.json.write_text(json.dumps({"machine": machine, "parts": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
