"""Updates of weights -> Muon's directions, each worker making those of some weights: the same bits on all of them.

A weight's direction depends on that weight alone, so who makes it changes nothing.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from tasks.algorithm.optimizer import orthogonalize, orthogonalize_all


def assign(costs: Sequence[int], workers: int) -> list[int]:
    """Worker of each task, so that all have about the same to do.

    The dearest first, each to the worker that has least (Graham 1969, "Bounds on Multiprocessing Timing Anomalies").
    """
    loads, owners = [0] * workers, [0] * len(costs)
    for task in sorted(range(len(costs)), key=lambda i: -costs[i]):
        owners[task] = loads.index(min(loads))
        loads[owners[task]] += costs[task]
    return owners


class SharedDirections:
    """`orthogonalize_all`, on all workers together; they call it together."""

    def __init__(self, *, rank: int, workers: int) -> None:
        self._rank, self._workers = rank, workers

    def __call__(self, updates: Sequence[Tensor]) -> list[Tensor]:
        """Directions of all updates (N, R, C), in their order."""
        if self._workers == 1:
            return orthogonalize_all(updates)
        owners = assign([_cost(update) for update in updates], self._workers)
        mine = [orthogonalize(u).flatten() for u, owner in zip(updates, owners, strict=True) if owner == self._rank]
        directions: list[Tensor] = list(updates)
        for worker, flat in enumerate(self._gather(mine, updates, owners)):
            tasks = [i for i, owner in enumerate(owners) if owner == worker]
            for i, part in zip(tasks, flat.split([updates[i].numel() for i in tasks]), strict=True):
                directions[i] = part.view_as(updates[i])
        return directions

    def _gather(self, mine: list[Tensor], updates: Sequence[Tensor], owners: list[int]) -> list[Tensor]:
        """Each worker's directions, flat, one after the other."""
        sizes = [0] * self._workers
        for update, owner in zip(updates, owners, strict=True):
            sizes[owner] += update.numel()
        # Collectives want equal sizes.
        parts = [updates[0].new_zeros(max(sizes)) for _ in sizes]
        own = torch.cat([*mine, parts[self._rank][sizes[self._rank] :]])
        dist.all_gather(parts, own)
        return [part[:size] for part, size in zip(parts, sizes, strict=True)]


def _cost(update_NRC: Tensor) -> int:
    """Operations of Newton-Schulz, but for a factor."""
    matrices, rows, columns = update_NRC.shape
    return matrices * min(rows, columns) ** 2 * max(rows, columns)
