"""Gradients of micro-shards -> their sum, added in a fixed binary tree: the same bits for any number of workers.

Floating point addition is commutative but not associative, so the sum of M gradients depends on its brackets. They are
those of a complete binary tree over the micro-shards here. A worker owns a subtree and adds it; workers then add in
the order of their ranks, which are the upper levels of the same tree.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


class GradientTree:
    """Takes a gradient after each backward pass and holds one partial sum a level, as a binary counter does.

    A leaf is flat: all gradients in the parameters' order, then `extra` numbers of the caller (the loss).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, extra: int = 0) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._sizes = [parameter.numel() for parameter in self._parameters]
        self._extra = extra
        self._free: list[Tensor] = []
        self._partial: list[tuple[int, Tensor]] = []

    def start(self) -> Tensor:
        """A zeroed leaf that the next backward pass adds its gradients to; the caller's numbers (`extra`) of it."""
        device = self._parameters[0].device
        total = sum(self._sizes) + self._extra
        leaf = self._free.pop().zero_() if self._free else torch.zeros(total, device=device)
        *grads, extra = leaf.split([*self._sizes, self._extra])
        for parameter, grad in zip(self._parameters, grads, strict=True):
            parameter.grad = grad.view_as(parameter)
        self._partial.append((0, leaf))
        return extra

    def finish(self) -> None:
        """The leaf is complete: add up what forms a complete subtree, left + right."""
        while len(self._partial) > 1 and self._partial[-1][0] == self._partial[-2][0]:
            level, right = self._partial.pop()
            _, left = self._partial.pop()
            self._partial.append((level + 1, left.add_(right)))
            self._free.append(right)

    def total(self) -> Tensor:
        """Sum over all workers' leaves, flat, same bits on all; until the next `start` all gradients are views of it.

        Raises:
            ValueError: a worker's leaves are no power of two, so no complete subtree.
        """
        if len(self._partial) != 1:
            raise ValueError(f"a complete binary tree has one sum left, found {len(self._partial)}")
        _, flat = self._partial.pop()
        add_across_workers(flat)
        *grads, _ = flat.split([*self._sizes, self._extra])
        for parameter, grad in zip(self._parameters, grads, strict=True):
            parameter.grad = grad.view_as(parameter)
        self._free.append(flat)
        return flat


def add_across_workers(flat: Tensor) -> None:
    """Sum `flat` over all workers in place: bit for bit the binary tree over ranks, their number a power of two.

    Recursive halving, then doubling: neighbours first, each pair shares the work of its range. A worker sends
    2 (W - 1) / W of the buffer, as in any good all-reduce (Thakur, Rabenseifner and Gropp 2005, section 4.4,
    https://doi.org/10.1177/1094342005051521).
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    rank, workers = dist.get_rank(), dist.get_world_size()
    ranges: list[tuple[Tensor, Tensor]] = []
    mine, distance = flat, 1
    while distance < workers:
        low, high = mine[: len(mine) // 2], mine[len(mine) // 2 :]
        keep, give = (high, low) if rank & distance else (low, high)
        theirs = torch.empty_like(keep)
        _exchange(give, theirs, rank ^ distance)
        # a + b and b + a are the same bits, so left and right need not be told apart.
        keep.add_(theirs)
        ranges.append((keep, give))
        mine, distance = keep, distance * 2
    for keep, gap in reversed(ranges):
        distance //= 2
        _exchange(keep, gap, rank ^ distance)


def _exchange(send: Tensor, receive: Tensor, peer: int) -> None:
    works = dist.batch_isend_irecv([dist.P2POp(dist.isend, send, peer), dist.P2POp(dist.irecv, receive, peer)])
    for work in works:
        work.wait()
