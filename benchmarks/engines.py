"""The same work on the same shards by each engine, by Ray Data and by Daft: which of them costs least beside the work.

`python -m benchmarks.engines --json OUT [--megabytes 100] [--daft]`. The work is `privacy` on shards that `clean` left,
from bytes to bytes, without memory. Wall seconds on a quiet machine, as many workers for all, Ray's start apart;
medians of three runs taken in turns. Results are compared byte by byte.
"""

import argparse
import hashlib
import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.data import TWO_CORES, Bench
from benchmarks.peers import peer_library
from benchmarks.remix import write_corpus
from infra.ray_cluster import ray_cluster
from infra.settings import Settings
from tasks.big_data import privacy
from tasks.big_data.documents import part, read_index
from tasks.big_data.engine import InProcess, OnCores, OnRay
from tasks.big_data.sift import Done, Job, do
from tasks.params import Privacy

WORKERS, RUNS = 2, 3
DAFT = "daft==0.7.26"
_STORE_BYTES = 1 << 30


def on_ray_data(items: Iterable[Job]) -> Iterator[Done]:
    """The same by `map` of a Ray Dataset, in its order."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    given = ray.data.from_items([{"job": job} for job in items])
    for row in given.map(lambda row: {"done": do(row["job"])}).iter_rows():
        yield row["done"]


def on_daft(items: Iterable[Job]) -> Iterator[Done]:
    """The same by a function of a Daft frame, a partition a shard, on the Ray that is there."""
    import daft

    daft.set_runner_ray(noop_if_initialized=True)
    work = daft.func(_pickled, return_dtype=daft.DataType.binary())
    jobs = [pickle.dumps(job) for job in items]
    frame = daft.from_pydict({"job": jobs}).into_partitions(len(jobs))
    for row in frame.select(work(frame["job"]).alias("done")).iter_rows():
        yield pickle.loads(row["done"])


def _pickled(job: bytes) -> bytes:
    return pickle.dumps(do(pickle.loads(job)))


def timed(run: Callable[[], Iterable[Done]]) -> tuple[float, str]:
    """Wall seconds, and the digest of all files that came out."""
    started, digest = time.monotonic(), hashlib.sha256()
    for done in run():
        for name, data in sorted(done.files.items()):
            digest.update(name.encode() + data)
    return time.monotonic() - started, digest.hexdigest()


def measure(folder: Path, *, with_daft: bool) -> dict[str, Any]:
    """Seconds of each engine on the shards of a table."""
    shards, common = read_index(folder), privacy.Common(Privacy())

    def jobs() -> Iterator[Job]:
        for shard in shards:
            data = (folder / part(shard.name)).read_bytes()
            yield Job(privacy.work, common, None, shard.name, shard.bytes, data)

    next(iter(InProcess().map(do, jobs())))  # kernels are loaded
    started = time.monotonic()
    settings = Settings(workspace=folder.parents[1], workers=WORKERS, device="cpu")
    taken: dict[str, list[float]] = {}
    digests = set()
    with ray_cluster(settings, environment={}, store_bytes=_STORE_BYTES):
        start = time.monotonic() - started
        runs: dict[str, Callable[[], Iterable[Done]]] = {
            "in process": lambda: InProcess().map(do, jobs()),
            "two threads": lambda: OnCores(WORKERS, folder).map(do, jobs()),
            "Ray Core, two workers": lambda: OnRay(WORKERS).map(do, jobs()),
            "Ray Data, two workers": lambda: on_ray_data(jobs()),
        }
        if with_daft:
            runs["Daft on Ray"] = lambda: on_daft(jobs())
        for run in runs.values():  # once before it counts: workers are made, modules loaded
            timed(run)
        for _ in range(RUNS):
            for name, run in runs.items():
                seconds, digest = timed(run)
                taken.setdefault(name, []).append(seconds)
                digests.add(digest)
    if len(digests) != 1:
        raise RuntimeError("the engines gave different bytes")
    size = sum(shard.bytes for shard in shards)
    return {"text_bytes": size, "shards": len(shards), "ray_start": start, "seconds": taken}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the raw figures")
    parser.add_argument("--megabytes", type=float, default=100.0, help="size of the corpus")
    parser.add_argument("--daft", action="store_true", help="run Daft beside them")
    options = parser.parse_args()
    os.environ.update(TWO_CORES)
    with tempfile.TemporaryDirectory() as scratch:
        if options.daft:
            library = str(peer_library(Path(scratch) / "daft", DAFT))
            sys.path.append(library)
            os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), library])  # Ray's workers need both
        corpus = Path(scratch) / "corpus"
        write_corpus(corpus, options.megabytes)
        bench = Bench(Path(scratch) / "workspace", corpus, TWO_CORES)
        for step in ("discover", "ingest", "clean"):
            bench.run(step)
        found = measure(bench.root / "artifacts" / "clean", with_daft=options.daft)
    table = Table("engine", "median s", "all")
    for name, seconds in found["seconds"].items():
        table.add_row(name, f"{statistics.median(seconds):.2f}", ", ".join(f"{each:.2f}" for each in seconds))
    Console().print(table, f"{found['text_bytes'] / 1e6:.0f} MB, Ray's start {found['ray_start']:.1f} s")
    options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
