"""A Ray cluster for the length of a block: one on this machine, of which nothing is left afterwards, or one to join.

Ray is imported late, in functions: it reads parts of its environment when it is imported.
"""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

from filelock import FileLock, Timeout

from infra.settings import Settings

_ROOT = Path(__file__).resolve().parents[1]
# On one machine Ray's folders begin like this; the path is short, since sockets are in them.
LOCAL_FOLDERS, _LOCK = "/tmp/abcd-ray-", "lock"
# The least that Ray takes.
LEAST_STORE_BYTES = 75 << 20
# A worker has one core: threads inside a small model's step do not pay, and spinning ones take those of the others.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
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


class ClusterError(RuntimeError):
    """No Ray could be started or joined; the message says what to do."""


@contextmanager
def ray_cluster(
    settings: Settings, *, environment: Mapping[str, str], imports: str = "ray", store_bytes: int = LEAST_STORE_BYTES
) -> Iterator[Path]:
    """Ray, started on this machine or joined; the folder in which it may write.

    Args:
        settings: `ray_address`, `workers`, `device`.
        environment: variables that Ray is to find, beside those that keep it on this machine.
        imports: module that is imported meanwhile, as Ray's own processes take their time.
        store_bytes: of the object store on this machine, through which what is passed on goes.

    Raises:
        ClusterError: the cluster cannot be started or reached.
    """
    values = {**environment, **({} if settings.ray_address else _local_environment())}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with _folder(settings) as folder, _environment(values):
        import ray

        # In a thread and not the other way round: Ray's processes end with the thread that made them.
        meanwhile = threading.Thread(target=import_module, args=(imports,), daemon=True)
        meanwhile.start()
        try:
            _connect(settings, folder, store_bytes)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            meanwhile.join()
            yield folder
        finally:
            meanwhile.join()
            ray.shutdown()
            for number, handler in handlers.items():
                signal.signal(number, handler)


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


def _connect(settings: Settings, folder: Path, store_bytes: int) -> None:
    import ray

    if not settings.ray_address:
        try:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=settings.workers or None,
                num_gpus=0 if settings.device == "cpu" else None,
                object_store_memory=store_bytes,
                include_dashboard=False,
                logging_level=logging.WARNING,
                _temp_dir=str(folder),
            )
        except Exception as error:  # Ray raises no narrower one
            raise ClusterError(
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
        raise ClusterError(
            f"no Ray cluster at {settings.ray_address!r}: {error}; start it, or unset ABCD_RAY_ADDRESS "
            "to work on this machine"
        ) from error
