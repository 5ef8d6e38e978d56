"""What it costs to make a training set: raw JSONL to packed shards, all rules on, in CPU seconds of the process tree.

`python -m benchmarks.data --json OUT`; `--peer datatrove`, `--limit`, `--scale` and `--nightly` measure more. Each step
is run as `python -m tasks STEP` runs it, in a process of its own, on one core; what a step costs on a corpus of a
few documents is its start, stated apart. The peer runs in a virtual environment of its own on a part of the corpus.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.peers import peer_python
from benchmarks.remix import write_corpus

ROOT = Path(__file__).parents[1]
STEPS = ("discover", "ingest", "clean", "privacy", "dedup", "validate", "tokenizer", "pack", "describe")
# Data steps between them do all; the tokenizer is trained once and is the base's on every later night.
ONE_CORE = {"ABCD_DATA_ENGINE": "one", "ABCD_WORKERS": "1", "POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "NUMBA_NUM_THREADS": "1"}  # fmt: skip
TWO_CORES = {"ABCD_DATA_ENGINE": "cores", "ABCD_WORKERS": "2", "POLARS_MAX_THREADS": "2", "RAYON_NUM_THREADS": "2",
             "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # fmt: skip

PEER = ("datatrove==0.10.1", "spacy==3.8.18", "nltk==3.10.4", "regex", "ftfy", "tokenizers", "orjson", "xxhash<4",
        "fasteners", "pyarrow")  # fmt: skip
_PEER_MEGABYTES = 5.0


@dataclass(frozen=True)
class Cost:
    """What a step took: CPU seconds of its process tree, wall seconds, the largest resident set of a process."""

    cpu: float
    wall: float
    peak_mib: float


class Bench:
    """A workspace whose source is a folder of JSONL files."""

    def __init__(self, root: Path, corpus: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        root.mkdir(parents=True)
        for name in (".git", "dvc.yaml"):
            (root / name).touch()
        params = f"blueprint:\n  preset: nano\ndiscover:\n  sources: [{corpus}]\n"
        (root / "params.yaml").write_text(params)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ABCD_")}
        self.environment = {**kept, **environment, "ABCD_WORKSPACE": str(root), "PYTHONPATH": str(ROOT)}

    def run(self, step: str) -> Cost:
        """Run a step to its good end."""
        environment = self.environment | ({"ABCD_DISCOVER": "1"} if step == "discover" else {})
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks", step], cwd=ROOT, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{step} ended with {process.returncode}: {said[-2000:]}")
        measured = json.loads((self.root / "runs" / "steps" / f"{step}.json").read_text())
        return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - started, measured["peak_rss_mib"])

    def run_all(self) -> dict[str, Cost]:
        """Run all steps."""
        return {step: self.run(step) for step in STEPS}

    def digest(self) -> str:
        """Of every byte that the steps left."""
        found = hashlib.sha256()
        for path in sorted((self.root / "artifacts").rglob("*")):
            if path.is_file():
                found.update(str(path.relative_to(self.root)).encode() + path.read_bytes())
        return found.hexdigest()


def text_bytes(corpus: Path) -> int:
    """UTF-8 bytes of all texts of a folder of JSONL files."""
    total = 0
    for path in sorted(corpus.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            total += sum(len(json.loads(line)["text"].encode()) for line in lines)
    return total


def floor(corpus: Path, folder: Path) -> float:
    """CPU seconds to read, digest (SHA-256) and write the same bytes."""
    started = time.process_time()
    for path in sorted(corpus.glob("*.jsonl")):
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        (folder / path.name).write_bytes(data)
    return time.process_time() - started


def total(costs: Mapping[str, Cost]) -> float:
    """CPU seconds of all steps."""
    return sum(cost.cpu for cost in costs.values())


def waited(costs: Mapping[str, Cost]) -> float:
    """Wall seconds of all steps."""
    return sum(cost.wall for cost in costs.values())


def measure(corpus: Path, scratch: Path, repeats: int) -> dict[str, Any]:
    """Full runs on one core and on two in turns, and starts."""
    tiny = scratch / "tiny"
    write_corpus(tiny, 0.3, files=1)
    Bench(scratch / "warm", tiny, ONE_CORE).run_all()  # numba compiles once a machine
    starts = [Bench(scratch / f"start-{n}", tiny, ONE_CORE).run_all() for n in range(3)]
    start = {step: statistics.median(run[step].cpu for run in starts) for step in STEPS}
    waits = sum(statistics.median(run[step].wall for run in starts) for step in STEPS)
    runs: dict[str, list[dict[str, Cost]]] = {"one": [], "two": []}
    for number in range(repeats):
        digests = set()
        for name, environment in (("one", ONE_CORE), ("two", TWO_CORES)):
            bench = Bench(scratch / f"{name}-{number}", corpus, environment)
            runs[name].append(bench.run_all())
            digests.add(bench.digest())
            if number + 1 < repeats:
                shutil.rmtree(bench.root)
        if len(digests) > 1:
            raise RuntimeError("one core and two gave different bytes")
    middle = sorted(runs["one"], key=total)[repeats // 2]
    on_two = sorted(runs["two"], key=waited)[repeats // 2]
    size = text_bytes(corpus)
    work = total(middle) - sum(start.values())
    walls = [statistics.median(map(waited, found)) for found in runs.values()]
    return {
        "text_bytes": size,
        "start_cpu": start,
        "one_core": {step: asdict(cost) for step, cost in middle.items()},
        "two_cores": {step: asdict(cost) for step, cost in on_two.items()},
        "mb_per_cpu_second": size / 1e6 / work,
        "mb_per_cpu_second_with_starts": size / 1e6 / total(middle),
        "start_wall": waits,
        "two_cores_speedup": (walls[0] - waits) / (walls[1] - waits),
        "two_cores_speedup_with_starts": walls[0] / walls[1],
        "floor_cpu": floor(corpus, scratch),
        "peak_mib": max(cost.peak_mib for cost in middle.values()),
    }


def limit(corpus: Path, scratch: Path) -> float:
    """Wall seconds of the work of one run beside half of those of two at once, each in a workspace of its own.

    What two cores can be at most: whole processes that share nothing but the machine.
    """
    tiny = scratch / "tiny"
    start = waited(Bench(scratch / "limit-start", tiny, ONE_CORE).run_all())
    alone = waited(Bench(scratch / "alone", corpus, ONE_CORE).run_all()) - start
    both = [Bench(scratch / f"both-{number}", corpus, ONE_CORE) for number in range(2)]
    seconds = 0.0
    with ThreadPoolExecutor(len(both)) as pool:
        for step in STEPS:
            seconds += max(cost.wall for cost in pool.map(partial(Bench.run, step=step), both))
    return 2 * alone / (seconds - start)


def nightly(scratch: Path, megabytes: float) -> dict[str, Any]:
    """One in a hundred documents is new; the tokenizer is that of the night before, as a base's is."""
    corpus = scratch / "nights"
    write_corpus(corpus, megabytes, files=16, seed=2)
    bench = Bench(scratch / "night", corpus, ONE_CORE)
    full = bench.run_all()
    new = scratch / "new"
    write_corpus(new, megabytes / 100, files=1, seed=3)
    (new / "part-000.jsonl").rename(corpus / "tonight.jsonl")
    again = {step: bench.run(step) for step in STEPS if step != "tokenizer"}
    full_cpu = total({step: cost for step, cost in full.items() if step != "tokenizer"})
    return {
        "megabytes": megabytes,
        "full_cpu": full_cpu,
        "night_cpu": total(again),
        "share": total(again) / full_cpu,
        "steps": {step: asdict(cost) for step, cost in again.items()},
    }


def scale(scratch: Path, megabytes: float) -> dict[str, Any]:
    """The largest resident set at 1, 4 and 16 times the corpus."""
    found = {}
    for factor in (1, 4, 16):
        corpus = scratch / f"scale-{factor}"
        write_corpus(corpus, megabytes * factor, files=4 * factor, seed=4)
        costs = Bench(scratch / f"times-{factor}", corpus, TWO_CORES).run_all()
        found[str(factor)] = {step: cost.peak_mib for step, cost in costs.items()}
    return {"megabytes": megabytes, "peak_mib": found}


def peer(
    corpus: Path, scratch: Path, environment: Path, tokenizer: Path, megabytes: float, repeats: int
) -> dict[str, Any]:
    """What datatrove takes for the first part of the same corpus, in an environment of its own; the median run."""
    python = peer_python(environment, *PEER)
    part = scratch / "part"
    part.mkdir()
    size, lines = 0, []
    with sorted(corpus.glob("*.jsonl"))[0].open(encoding="utf-8") as file:
        for line in file:
            if size > megabytes * 1e6:
                break
            lines.append(line)
            size += len(json.loads(line)["text"].encode())
    (part / "part.jsonl").write_text("".join(lines), encoding="utf-8")
    runs = []
    for number in range(repeats):
        out = scratch / f"datatrove-{number}"
        command = [python, Path(__file__).with_name("datatrove_pipeline.py"), part, out, tokenizer]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=scratch)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    found: dict[str, Any] = sorted(runs, key=lambda run: run["cpu"])[repeats // 2]
    return found | {
        "runs": [run["cpu"] for run in runs],
        "text_bytes": size,
        "mb_per_cpu_second": size / 1e6 / found["cpu"],
        "mb_per_cpu_second_with_start": size / 1e6 / (found["cpu"] + found["start_cpu"]),
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the raw figures")
    parser.add_argument("--corpus", type=Path, help="folder of JSONL files; made from ../shared/data if not given")
    parser.add_argument("--megabytes", type=float, default=300.0, help="size of the corpus that is made")
    parser.add_argument("--repeats", type=int, default=3, help="runs on one core; the median counts")
    parser.add_argument(
        "--nightly", type=float, metavar="MB", help="measure a night with 1 %% new documents on so many"
    )
    parser.add_argument("--scale", type=float, metavar="MB", help="measure memory at 1, 4 and 16 times so many")
    parser.add_argument("--limit", action="store_true", help="measure two runs at once: what two cores can be at most")
    parser.add_argument("--peer", choices=["datatrove"], help="run it on a part of the same corpus")
    parser.add_argument("--peer-environment", type=Path, help="where the peer is, or is to be installed and kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        corpus = options.corpus
        if corpus is None:
            corpus = scratch / "corpus"
            write_corpus(corpus, options.megabytes)
        found = measure(corpus.resolve(), scratch, options.repeats)
        if options.peer:
            environment = options.peer_environment or scratch / "environment"
            tokenizer = scratch / f"two-{options.repeats - 1}" / "artifacts" / "tokenizer" / "tokenizer.json"
            theirs = peer(corpus.resolve(), scratch, environment, tokenizer, _PEER_MEGABYTES, options.repeats)
            found["datatrove"] = theirs
            found["times_datatrove"] = found["mb_per_cpu_second"] / theirs["mb_per_cpu_second"]
            found["times_datatrove_with_starts"] = (
                found["mb_per_cpu_second_with_starts"] / theirs["mb_per_cpu_second_with_start"]
            )
        if options.limit:
            found["limit"] = limit(corpus.resolve(), scratch)
        if options.nightly:
            found["nightly"] = nightly(scratch, options.nightly)
        if options.scale:
            found["scale"] = scale(scratch, options.scale)
    _show(found)
    found["machine"] = {"cpu": platform.processor(), "cores": psutil.cpu_count(), "python": platform.python_version()}
    options.json.write_text(json.dumps(found, indent=1) + "\n")


def _show(found: Mapping[str, Any]) -> None:
    megabytes = found["text_bytes"] / 1e6
    table = Table("step", "start, CPU s", "work, CPU s", "MB per CPU s", "peak MiB")
    for step, cost in found["one_core"].items():
        work = max(cost["cpu"] - found["start_cpu"][step], 1e-3)
        start = found["start_cpu"][step]
        table.add_row(step, f"{start:.2f}", f"{work:.2f}", f"{megabytes / work:,.0f}", f"{cost['peak_mib']:,.0f}")
    console = Console()
    console.print(table)
    console.print(
        f"{megabytes:,.0f} MB: {found['mb_per_cpu_second']:.1f} MB per CPU second, starts included "
        f"{found['mb_per_cpu_second_with_starts']:.1f}; two cores {found['two_cores_speedup']:.2f} x, starts included "
        f"{found['two_cores_speedup_with_starts']:.2f} x; "
        f"floor {megabytes / found['floor_cpu']:,.0f} MB per CPU second"
    )
    for name in ("datatrove", "times_datatrove", "times_datatrove_with_starts", "limit", "nightly", "scale"):
        if name in found:
            console.print(name, found[name])


if __name__ == "__main__":
    main()
