"""Settings -> a running Ray, started on this machine or joined, and how the workers of a run lie on it."""

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from infra.ray_cluster import ClusterError, ray_cluster
from infra.settings import Settings
from tasks.report import StepError

# Ray is imported late, in functions: it reads parts of its environment when it is imported.

logger = logging.getLogger(__name__)

Device = Literal["cpu", "cuda"]

_TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # Ray's 2 s delay start, restart and end
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


@dataclass(frozen=True)
class Cluster:
    """A running Ray and its share for this run."""

    workers: int
    device: Device
    is_local: bool
    storage: Path


@contextmanager
def start(settings: Settings, *, micro_shards: int) -> Iterator[Cluster]:
    """Ray for the length of the block; on one machine nothing of it is left afterwards.

    Raises:
        StepError: the cluster to join cannot be reached or has no worker to give.
    """
    environment = {**_TRAIN_ENVIRONMENT, "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(settings.stall_seconds)}
    try:
        with ray_cluster(settings, environment=environment, imports="ray.train.torch") as folder:
            import ray

            workers, device = _layout(settings, ray.cluster_resources(), micro_shards)
            yield Cluster(workers, device, not settings.ray_address, folder / "train")
    except ClusterError as error:
        raise StepError(str(error)) from error


def fitting_workers(available: int, micro_shards: int) -> int:
    """Most workers that can share `micro_shards` evenly as subtrees: a power of two."""
    return 1 << (max(1, min(available, micro_shards)).bit_length() - 1)


@contextmanager
def worker_group(device: Device) -> Iterator[tuple[int, int]]:
    """In a worker: rank and number of workers, connected with each other by gloo or nccl."""
    import ray.train
    import torch
    import torch.distributed as dist

    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    if device == "cuda":
        from ray.train.torch import get_device

        torch.cuda.set_device(get_device())
    else:
        torch.set_num_threads(1)
    if workers == 1:
        yield rank, workers
        return
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(
        backend, store=_store(rank, workers), rank=rank, world_size=workers, timeout=timedelta(minutes=10)
    )
    try:
        yield rank, workers
    finally:
        dist.destroy_process_group()


def _store(rank: int, workers: int) -> Any:
    """Where workers find each other: torch's own would listen on all interfaces, so it gets a socket that does not."""
    import ray.train.collective
    import torch.distributed as dist

    listener = None
    if rank == 0:
        listener = socket.create_server((ray.util.get_node_ip_address(), 0))
    place = ray.train.collective.broadcast_from_rank_zero(listener.getsockname()[:2] if listener else None)
    host, port = place
    return dist.TCPStore(  # type: ignore[attr-defined]  # documented, but not in __all__
        host, port, workers, is_master=rank == 0, master_listen_fd=listener.detach() if listener else None
    )


def _layout(settings: Settings, resources: Mapping[str, float], micro_shards: int) -> tuple[int, Device]:
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    device: Device = "cuda" if settings.device == "cuda" or (settings.device == "auto" and gpus) else "cpu"
    found = gpus if device == "cuda" else cores
    if found < 1:
        raise StepError(
            f"ABCD_DEVICE={settings.device} asks for workers on {device}, but Ray reports {dict(resources)}; "
            "set ABCD_DEVICE=cpu or join a cluster that has what you need"
        )
    available = min(found, settings.workers) if settings.workers else found
    workers = fitting_workers(available, micro_shards)
    logger.info(
        "workers: %d on %s, the largest power of two within %d available and %d micro-shards",
        workers, device, available, micro_shards,
    )  # fmt: skip
    return workers, device
