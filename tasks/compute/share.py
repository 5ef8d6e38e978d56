"""Updates of weights -> Muon's directions, each worker making those of some weights: the same bits on all of them.

A weight's direction depends on that weight alone, so who makes it changes nothing.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from tasks.algorithm.optimizer import as_stack, orthogonalize, orthogonalize_all


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

    def __call__(self, updates: Mapping[str, Tensor], heads: int) -> list[Tensor]:
        """Directions of all updates, in their order and shapes."""
        if self._workers == 1:
            return orthogonalize_all(updates, heads)
        directions = [*updates.values()]
        stacks = [as_stack(name, update, heads) for name, update in updates.items()]
        owners = assign([_cost(stack) for stack in stacks], self._workers)
        mine = [orthogonalize(s).flatten() for s, owner in zip(stacks, owners, strict=True) if owner == self._rank]
        for worker, flat in enumerate(self._gather(mine, directions, owners)):
            tasks = [i for i, owner in enumerate(owners) if owner == worker]
            for i, part in zip(tasks, flat.split([directions[i].numel() for i in tasks]), strict=True):
                directions[i] = part.view_as(directions[i])
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


class ShardedDirections:
    """`orthogonalize_all`, of weights whose rows lie on different workers; they call it together.

    A stack of experts lies there by whole experts, and their owner makes their directions. Any other matrix goes to one
    worker and comes back by rows: each worker sends and receives a W-th of all numbers, twice.
    """

    def __init__(self, *, rank: int, shapes: Mapping[str, torch.Size], rows: Mapping[str, Sequence[slice]]) -> None:
        self._rank, self._shapes, self._rows = rank, shapes, rows

    def __call__(self, updates: Mapping[str, Tensor], heads: int) -> list[Tensor]:
        """Directions of this worker's rows of all updates, in their order and shapes."""
        split = [name for name, update in updates.items() if update.dim() == 2]
        directions = self._split({name: updates[name] for name in split}, heads) if split else {}
        for name, update in updates.items():
            if update.dim() > 2:
                stack = as_stack(name, update, heads)
                directions[name] = orthogonalize(stack).view_as(update) if len(stack) else update
        return [directions[name] for name in updates]

    def _split(self, updates: Mapping[str, Tensor], heads: int) -> dict[str, Tensor]:
        costs = [_cost(as_stack(name, torch.empty(self._shapes[name], device="meta"), heads)) for name in updates]
        workers = len(self._rows[next(iter(updates))])
        owners = dict(zip(updates, assign(costs, workers), strict=True))
        by_owner = [[name for name in updates if owners[name] == worker] for worker in range(workers)]
        mine = by_owner[self._rank]
        # Rows of all my matrices of worker 0, then of worker 1, ...
        counts = [[self._numel(name, worker) for name in mine] for worker in range(workers)]
        send = torch.cat([updates[name].flatten() for names in by_owner for name in names])
        sends = [sum(updates[name].numel() for name in names) for names in by_owner]
        receives = [sum(each) for each in counts]
        got = send.new_empty(sum(receives))
        dist.all_to_all_single(got, send, receives, sends)
        parts = [flat.split(each) for flat, each in zip(got.split(receives), counts, strict=True)]
        done = []
        for name, pieces in zip(mine, zip(*parts, strict=True), strict=True):
            matrix = torch.cat(pieces).view(self._shapes[name])
            done.append(orthogonalize(as_stack(name, matrix, heads)).view(self._shapes[name]))
        own = [*zip(mine, done, strict=True)]
        back = [matrix[self._rows[name][worker]].flatten() for worker in range(workers) for name, matrix in own]
        dist.all_to_all_single(send, torch.cat(back) if back else got, sends, receives)
        names = [name for names in by_owner for name in names]
        pieces = send.split([updates[name].numel() for name in names])
        return {name: piece.view_as(updates[name]) for name, piece in zip(names, pieces, strict=True)}

    def _numel(self, name: str, worker: int) -> int:
        rows = self._rows[name][worker]
        return (rows.stop - rows.start) * self._shapes[name][1:].numel()


def _cost(update_NRC: Tensor) -> int:
    """Operations of Newton-Schulz, but for a factor."""
    matrices, rows, columns = update_NRC.shape
    return matrices * min(rows, columns) ** 2 * max(rows, columns)
