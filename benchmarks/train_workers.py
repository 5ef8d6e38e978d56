"""Training tokens a second of wall clock on all cores: our Ray workers beside transformers, alone and under DDP.

`python -m benchmarks.train --workers 2` asks for it. AdamW on all sides; gradients are exchanged, ours in the fixed
binary tree of `tasks/compute/tree.py`, the peer's by gloo. Only a machine that does nothing else gives figures.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infra.settings import Settings
from tasks.algorithm.model import Model
from tasks.algorithm.shape import Shape
from tasks.compute import cluster

_WARM_STEPS = 4


def compare(name: str, folder: Path, choice: dict[str, Any], options: argparse.Namespace) -> dict[str, float]:
    """Tokens a second of each way, the best of two turns; `folder` has the peer's weights."""
    from benchmarks.train import N_SEQUENCES, SHAPES

    shape, workers = SHAPES[name], options.workers
    ways: dict[str, Callable[[], float]] = {
        f"ours, workers: {n}": partial(_ours, shape, n, options.repeats) for n in (1, workers)
    }
    for n in range(1, (os.cpu_count() or 1) + 1):
        ways[f"transformers, one process, threads: {n}"] = partial(_peer, name, folder, choice, options, 1, n)
    ways[f"transformers, DDP, processes: {workers}"] = partial(_peer, name, folder, choice, options, workers, 1)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(2):
        for way, run in ways.items():
            seconds[way].append(run())
    return {way: N_SEQUENCES * shape.sequence_length / min(found) for way, found in seconds.items()}


def _ours(shape: Shape, workers: int, repeats: int) -> float:
    """Seconds of a step of so many workers that Ray starts."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(workspace=Path(folder), device="cpu", workers=workers)
        with cluster.start(settings, micro_shards=workers) as ray:
            from tasks.compute import supervisor

            config = {"shape": shape.model_dump(), "repeats": repeats}
            seconds: float = supervisor.run(ray, _work, config, max_failures=0)
    return seconds


def _work(config: dict[str, Any]) -> float:
    """In a worker: median seconds of its steps, each on the worker's part of a batch."""
    from benchmarks.train import batches
    from tasks.compute.loop import own_arithmetic
    from tasks.compute.tree import GradientTree

    shape = Shape(**config["shape"])
    with cluster.worker_group("cpu") as (rank, workers), own_arithmetic("cpu"):
        model = Model(shape)
        model.init_weights(1)
        tree, optimizer = GradientTree(model.parameters()), torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

        def step(tokens_BS: Tensor) -> None:
            tokens_BS = tokens_BS.chunk(workers)[rank]
            tree.start()
            model.loss(tokens_BS[:, :-1], tokens_BS[:, 1:]).backward()
            tree.finish()
            flat = tree.total()
            flat /= tokens_BS[:, 1:].numel() * workers
            optimizer.step()

        return _median_seconds(step, batches(shape), config["repeats"])


def _median_seconds(step: Callable[[Tensor], None], data: list[Tensor], repeats: int) -> float:
    seconds = []
    for number in range(_WARM_STEPS + repeats):
        started = time.perf_counter()
        step(data[number % len(data)])
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[_WARM_STEPS:])


def _peer(
    name: str, folder: Path, choice: dict[str, Any], options: argparse.Namespace, processes: int, threads: int
) -> float:
    """Seconds of a step of transformers' model in processes of their own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    job = json.dumps({"size": name, "folder": str(folder), "choice": choice, "repeats": options.repeats,
                      "threads": threads, "processes": processes, "port": port})  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    started = [
        subprocess.Popen(
            (sys.executable, "-m", "benchmarks.train_workers", job, str(rank)), env=environment, stdout=subprocess.PIPE
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"processes of transformers ended with {[process.returncode for process in started]}")
    return max(float(output.split()[-1]) for output in outputs)


def _peer_process(job: dict[str, Any], rank: int) -> float:
    """One process of the peer's: median seconds of its steps."""
    from benchmarks.train import SHAPES, batches, load_peer

    torch.set_num_threads(job["threads"])
    processes = job["processes"]
    own = load_peer(Path(job["folder"]), job["choice"])
    model: nn.Module = own
    if processes > 1:
        place = f"tcp://127.0.0.1:{job['port']}"
        dist.init_process_group("gloo", init_method=place, rank=rank, world_size=processes)
        model = nn.parallel.DistributedDataParallel(own)
    optimizer = torch.optim.AdamW(own.parameters(), lr=1e-4, fused=True)

    def step(tokens_BS: Tensor) -> None:
        tokens_BS = tokens_BS.chunk(processes)[rank]
        optimizer.zero_grad()
        model(input_ids=tokens_BS, labels=tokens_BS, use_cache=False).loss.backward()
        optimizer.step()

    return _median_seconds(step, batches(SHAPES[job["size"]]), job["repeats"])


if __name__ == "__main__":
    print(_peer_process(json.loads(sys.argv[1]), int(sys.argv[2])))
