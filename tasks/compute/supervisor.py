"""A function -> Ray Train: it runs on all workers of a cluster, and all start again when one of them dies.

Import it while `cluster.start` holds: Ray reads parts of its environment when it is imported.
"""

from collections.abc import Callable
from typing import Any

from ray.exceptions import RayError
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.torch.torch_trainer import TorchTrainer

from tasks.compute.cluster import Cluster
from tasks.report import StepError

# How often workers may die before the run is given up; each time it continues from the last checkpoint.
MAX_FAILURES = 2


def run(
    cluster: Cluster,
    work: Callable[[dict[str, Any]], Any],
    config: dict[str, Any],
    *,
    max_failures: int = MAX_FAILURES,
) -> Any:
    """Run `work(config)` on all workers; what rank 0 returned.

    Raises:
        StepError: workers failed more than `max_failures` times.
    """
    trainer = _LocalTrainer if cluster.is_local else _Trainer
    try:
        result: Any = trainer(
            work,
            train_loop_config=config,
            torch_config=_OwnGroup(),  # type: ignore[arg-type]  # of TorchConfig it needs no more
            scaling_config=ScalingConfig(num_workers=cluster.workers, use_gpu=cluster.device == "cuda"),
            run_config=RunConfig(
                name="train",
                storage_path=str(cluster.storage),
                failure_config=FailureConfig(max_failures=max_failures),
                logging_config=LoggingConfig(log_level="ERROR"),
            ),
        ).fit()
    except (TrainingFailedError, RayError) as error:
        raise StepError(
            f"training, workers: {cluster.workers}, was expected to end well and failed {max_failures + 1} times, at "
            f"last with {_cause_of(error)}; start the step again to continue from the last checkpoint"
        ) from error
    return result.return_value


class _Devices(Backend):
    # NCCL's direct transfers between GPUs need all of a machine's devices visible to each of its workers.
    share_cuda_visible_devices = True


class _OwnGroup(BackendConfig):
    """`cluster.worker_group` connects the workers, on 127.0.0.1 alone, and Ray's controller need not import torch."""

    backend = "own"

    @property
    def backend_cls(self) -> type[Backend]:
        return _Devices


class _FixedWorkers(FixedScalingPolicy):
    """Without the actor that asks an autoscaler for machines."""

    def after_controller_start(self, train_run_context: Any) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass

    def _cancel_resource_request(self) -> None:
        pass


class _Trainer(TorchTrainer):
    """Without the process that frees what a dead controller held: Ray itself does when the step that asked ends.

    It asks Ray's dashboard once a second, and without one fills the log with failures.
    """

    def _create_default_callbacks(self) -> list[Any]:
        kept = super()._create_default_callbacks()
        return [callback for callback in kept if not isinstance(callback, PlacementGroupCleanerCallback)]


class _LocalTrainer(_Trainer):
    """Without the actor that guards a shared cluster either: it takes 2 CPU seconds to start."""

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        arguments["scaling_policy"] = _FixedWorkers(self.scaling_config)  # type: ignore[arg-type]  # it is the new one
        return super()._initialize_and_run_controller(**arguments)

    def _register_sigint_handler(self, controller: Any) -> None:
        """Ctrl-C stays KeyboardInterrupt; the end of the cluster's block ends the workers."""


def _cause_of(error: BaseException) -> str:
    """The first line of what went wrong in a worker, without Ray's wrapping."""
    failures = getattr(error, "worker_failures", None)
    first: Any = next(iter(failures.values())) if failures else error
    if isinstance(first, WorkerHealthCheckFailedError):
        return "a worker process that died: killed, out of memory, or without a step for ABCD_STALL_SECONDS"
    cause = getattr(first, "cause", None) or first
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0].strip() if lines else ''}"
