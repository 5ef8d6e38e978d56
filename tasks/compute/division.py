"""Whether a model can be divided among so many workers, asked before any of them starts."""

from tasks.algorithm.shape import Shape
from tasks.report import StepError


def check_division(shape: Shape, *, workers: int, expert_workers: int) -> None:
    """See that experts can be divided evenly, with `train.parallel: shard`.

    Raises:
        StepError: they cannot; the message says what to change.
    """
    if not shape.n_routers:
        return
    among = expert_workers or workers
    possible = [n for n in range(1, workers + 1) if workers % n == 0 and shape.n_experts % n == 0]
    choices = " or ".join(str(n) for n in possible)
    if workers % among:
        raise StepError(
            f"ABCD_EXPERT_WORKERS ({among}) must divide the number of workers ({workers}), and so must "
            f"blueprint.n_experts ({shape.n_experts}) be divided by it; set it to {choices}"
        )
    if shape.n_experts % among:
        raise StepError(
            f"blueprint.n_experts ({shape.n_experts}) cannot be divided evenly among {among} workers; set "
            f"ABCD_EXPERT_WORKERS to {choices}, ABCD_WORKERS to fewer, or blueprint.n_experts to a multiple of {among}"
        )
