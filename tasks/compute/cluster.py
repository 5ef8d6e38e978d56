"""Settings -> a running Ray, started on this machine or joined, and how the workers of a run lie on it."""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from infra.settings import Settings
from tasks.report import StepError

# Ray is imported late, in functions: it reads parts of its environment when it is imported.

logger = logging.getLogger(__name__)

Device = Literal["cpu", "cuda"]

_ROOT = Path(__file__).resolve().parents[2]
# On one machine Ray's folders begin like this; the path is short, since sockets are in them.
LOCAL_FOLDERS, _LOCK = "/tmp/abcd-ray-", "lock"
# The least that Ray takes; nothing large goes through its object store.
_OBJECT_STORE_BYTES = 75 << 20
# Threads inside a small model's step do not pay, and spinning ones take the cores of the others.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}
_TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # Ray's 2 s delay start, restart and end
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
_LOCAL_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # no cluster: listen on 127.0.0.1 alone
    "GLOO_SOCKET_IFNAME": "lo" if sys.platform.startswith("linux") else "lo0",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",  # else lines of workers come 5 s late
    "RAY_DISABLE_WORKER_LOG_PREFIX": "1",
    "RAY_COLOR_PREFIX": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # where the head is this machine's, one that is gone stays gone
    # Workers made before anybody asks lack Ray Train's environment and are never used.
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
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
    is_local = not settings.ray_address
    environment = _TRAIN_ENVIRONMENT | (_local_environment() if is_local else {})
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    environment["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(settings.stall_seconds)
    with _folder(settings) as folder, _environment(environment):
        import ray

        # Seconds of imports, while Ray's own processes start. In a thread and not the other way round: Ray's
        # processes end with the thread that made them.
        imports = threading.Thread(target=import_module, args=("ray.train.torch",), daemon=True)
        imports.start()
        try:
            _connect(settings, folder)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            imports.join()
            workers, device = _layout(settings, ray.cluster_resources(), micro_shards)
            yield Cluster(workers, device, is_local, folder / "train")
        finally:
            imports.join()
            ray.shutdown()
            for number, handler in handlers.items():
                signal.signal(number, handler)


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


@contextmanager
def _folder(settings: Settings) -> Iterator[Path]:
    """Where Ray keeps what it writes, for the length of the block.

    A run that was killed hard could not remove its own: the next one does, when nobody holds the lock in it.
    """
    if settings.ray_address:
        folder = settings.runs / "ray"
    else:
        for left in Path(LOCAL_FOLDERS).parent.glob(f"{Path(LOCAL_FOLDERS).name}*/{_LOCK}"):
            with contextlib.suppress(OSError, Timeout), FileLock(left, timeout=0):
                shutil.rmtree(left.parent, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=LOCAL_FOLDERS))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _local_environment() -> dict[str, str]:
    # Workers import this project from where it is: nothing is packed and shipped.
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    return {**_LOCAL_ENVIRONMENT, **_WORKER_ENVIRONMENT, "PYTHONPATH": path, "RAY_AUTH_TOKEN": _token()}


@cache
def _token() -> str:
    """A token of this process: without one Ray writes one into the home folder, and it reads it only once."""
    return secrets.token_hex(32)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _connect(settings: Settings, folder: Path) -> None:
    import ray

    if not settings.ray_address:
        try:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=settings.workers or None,
                num_gpus=0 if settings.device == "cpu" else None,
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                logging_level=logging.WARNING,
                _temp_dir=str(folder),
            )
        except Exception as error:  # Ray raises no narrower one
            raise StepError(
                f"Ray did not start on this machine: {error}; look whether memory, disk or processes ran out "
                "(`abcd doctor`), then start the step again"
            ) from error
        return
    try:
        ray.init(
            address=settings.ray_address,
            logging_level=logging.WARNING,
            runtime_env={"env_vars": {**_WORKER_ENVIRONMENT, "PYTHONPATH": str(_ROOT)}},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StepError(
            f"no Ray cluster at {settings.ray_address!r}: {error}; start it, or unset ABCD_RAY_ADDRESS "
            "to train on this machine"
        ) from error


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
