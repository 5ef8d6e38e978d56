"""A model on this worker -> the same model, spread over all workers: whole on each, or in shards.

What `loop.py` does between them is the same. `replicate`: each worker holds all weights, and gradients are summed in a
fixed binary tree (`tree.py`). `shard`: each holds its rows of the weights, their gradients and their optimizer's state
(`shard.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from tasks.algorithm.model import Model
from tasks.algorithm.optimizer import Directions
from tasks.compute.cluster import Device
from tasks.compute.share import SharedDirections
from tasks.compute.tree import GradientTree


@dataclass(frozen=True)
class Place:
    """Which worker this is."""

    rank: int = 0
    workers: int = 1
    device: Device = "cpu"
    here: int = 1  # workers on this machine
    expert_workers: int = 0  # ABCD_EXPERT_WORKERS

    @property
    def among(self) -> int:
        """Among how many workers the experts of a layer are divided, where weights are in shards."""
        return self.expert_workers or self.workers


class Spread(Protocol):
    """How a model lies on the workers; they call all methods together."""

    weights: dict[str, nn.Parameter]
    """What this worker's optimizer changes: weights or rows of them, and their gradients after `mean`."""
    shapes: dict[str, torch.Size]
    """Of the whole weights."""
    directions: Directions
    """Muon's, of what is in `weights`."""

    def start(self) -> Tensor:
        """Begin a micro-shard; to what it gets the caller adds numbers that are summed as gradients are: losses."""

    def finish(self) -> None:
        """End a micro-shard, after its backward pass."""

    def mean(self, count: int) -> Tensor:
        """Sum of all workers' gradients since the last call, divided by `count`, as `grad`; so are the losses."""

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """Norm of the whole gradient of which these are this worker's."""

    def fill(self, values: Iterable[tuple[str, Tensor]]) -> None:
        """Take weights and buffers over from whole ones."""

    def state(self) -> dict[str, Tensor]:
        """Whole weights and persistent buffers, on rank 0; elsewhere perhaps nothing."""

    def join(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors of what each worker has beside its `weights`, on rank 0; elsewhere perhaps nothing."""

    def part(self, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This worker's part of what `join` gave."""


class Replicated:
    """`replicate`: same bits for any number of workers."""

    def __init__(self, model: Model, place: Place, *, losses: int) -> None:
        self._model = model.to(place.device)
        self.weights = dict(model.named_parameters())
        self.shapes = {name: weight.shape for name, weight in self.weights.items()}
        self.directions: Directions = SharedDirections(rank=place.rank, workers=place.workers)
        self._losses = losses
        self._tree = GradientTree(self.weights.values(), extra=losses)

    def start(self) -> Tensor:
        """As in `Spread`."""
        return self._tree.start()

    def finish(self) -> None:
        """As in `Spread`."""
        self._tree.finish()

    def mean(self, count: int) -> Tensor:
        """As in `Spread`."""
        flat = self._tree.total()
        flat /= count
        return flat[-self._losses :]

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """As in `Spread`: all workers have the same gradient."""
        return nn.utils.get_total_norm(gradients)

    def fill(self, values: Iterable[tuple[str, Tensor]]) -> None:
        """As in `Spread`."""
        state = self._model.state_dict()
        for name, value in values:
            state[name].copy_(value)

    def state(self) -> dict[str, Tensor]:
        """As in `Spread`, on all workers."""
        return self._model.state_dict()

    def join(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As in `Spread`: what is here is whole."""
        return dict(parts)

    def part(self, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As in `Spread`: all of it."""
        return dict(whole)
