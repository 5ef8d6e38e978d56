"""One worker of several that gloo connects on loopback: `python -m tests.tasks.compute.gloo_worker JSON`.

What `tasks.compute.worker` is under Ray, without Ray; `start` makes as many as are asked for.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from infra.storage import open_store
from tasks.compute.loop import Checkpoints, Run, train
from tasks.compute.meter import Meter
from tasks.compute.spread import Place
from tasks.compute.worker import open_run, write_outputs

ROOT = Path(__file__).parents[3]


def start(module: str, workers: int, **said: Any) -> list[str]:
    """What each of so many processes of a module wrote; each gets JSON: rank, workers, a store, and what is `said`."""
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(said | {"rank": rank, "workers": workers, "store": folder})],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            )
            for rank in range(workers)
        ]  # fmt: skip
        try:
            ended = [(*process.communicate(timeout=250), process.returncode) for process in processes]
        finally:
            for process in processes:
                process.kill()
    assert not any(code for _, _, code in ended), "\n".join(said for _, said, _ in ended)
    return [out for out, _, _ in ended]


@contextmanager
def connected(said: dict[str, Any]) -> Iterator[None]:
    torch.set_num_threads(1)
    if said["workers"] > 1:
        store = dist.FileStore(f"{said['store']}/store", said["workers"])
        dist.init_process_group("gloo", store=store, rank=said["rank"], world_size=said["workers"])
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def main(said: dict[str, Any]) -> None:
    """Train to `stop_after`, or to the end and write what `train` writes."""
    place = Place(said["rank"], said["workers"], "cpu", said["workers"], said.get("expert_workers", 0))
    stop = said.get("stop_after")

    def watch(run: Run, _meter: Meter) -> None:
        if run.step == stop:
            raise SystemExit

    with connected(said):
        run = open_run(Path(said["artifacts"]), place)
        train(run, Checkpoints(open_store(said["checkpoints"]), "run", said.get("checkpoint_steps", 1000)), watch)
        write_outputs(run, Path(said["out"]))
    own = sum(weight.numel() for weight in run._spread.weights.values())
    sys.stdout.write(json.dumps({"weights": own, "of": run.blueprint.total_parameters}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
