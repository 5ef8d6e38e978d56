"""`shard`: a model larger than a device -> each worker holds its rows of all weights, gradients and optimizer states.

Dense weights are cut by rows among all workers and gathered layer by layer as they are needed, by torch's FSDP2
(https://arxiv.org/abs/1910.02054 and https://arxiv.org/abs/2304.11277). Workers form a grid: its rows divide the
experts of a layer (`expert_shard.py`), its columns cut each row's experts as FSDP2 does, by whole experts.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from tasks.algorithm.layer import Layer
from tasks.algorithm.model import Model
from tasks.algorithm.moe import MoE
from tasks.algorithm.optimizer import Directions
from tasks.compute.expert_shard import ExpertShard
from tasks.compute.share import ShardedDirections
from tasks.compute.spread import Place


class Sharded:
    """A `Spread` of two workers or more."""

    def __init__(self, model: Model, place: Place, *, losses: int) -> None:
        self._model, self._place = model, place
        self.shapes = {name: weight.shape for name, weight in model.named_parameters()}
        self._rows = {name: self._rows_of(name) for name in self.shapes}
        self._shard()
        self._buffers = {name: model.state_dict()[name] for name in model.state_dict() if name not in self.shapes}
        # Plain tensors that share the memory of the shards.
        self.weights = {name: nn.Parameter(_local(weight.detach())) for name, weight in model.named_parameters()}
        self.directions: Directions = ShardedDirections(rank=place.rank, shapes=self.shapes, rows=self._rows)
        self._losses = torch.zeros(losses, device=place.device)

    def _shard(self) -> None:
        place, experts = self._place, self._place.among
        columns = place.workers // experts
        grid = init_device_mesh(place.device, (columns, experts), mesh_dim_names=("column", "row"))
        mesh = init_device_mesh(place.device, (place.workers,))
        for layer in [module for module in self._model.modules() if isinstance(module, Layer)]:
            own = set[nn.Parameter]()
            if isinstance(layer.mlp, MoE):
                if experts > 1:
                    layer.mlp.experts = ExpertShard(layer.mlp.experts, self._model.shape, grid["row"])
                if columns > 1:
                    fully_shard(layer.mlp.experts, mesh=grid["column"])
                else:
                    own = set(layer.mlp.experts.parameters())
            fully_shard(layer, mesh=mesh, ignored_params=own)
        fully_shard(self._model, mesh=mesh)
        register_fsdp_forward_method(self._model, "objective")
        for module in self._model.modules():
            if isinstance(module, FSDPModule):
                # Sums: the loss is one over tokens, and `mean` divides.
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(enable=True)

    def _rows_of(self, name: str) -> list[slice]:
        """Which rows of a weight, or experts of a stack of them, each worker has."""
        n, workers = self.shapes[name][0], self._place.workers
        if len(self.shapes[name]) < 3:
            return [_cut(n, workers, rank) for rank in range(workers)]
        experts = self._place.among
        each, rows = n // experts, []
        for rank in range(workers):
            first, part = rank % experts * each, _cut(each, workers // experts, rank // experts)
            rows.append(slice(first + part.start, first + part.stop))
        return rows

    def start(self) -> Tensor:
        """As in `Spread`."""
        return self._losses

    def finish(self) -> None:
        """As in `Spread`: gradients were summed over workers in backward, so that no worker ever holds all of them."""

    def mean(self, count: int) -> Tensor:
        """As in `Spread`."""
        losses, self._losses = self._losses / count, torch.zeros_like(self._losses)
        dist.all_reduce(losses)
        for name, weight in self._model.named_parameters():
            assert weight.grad is not None  # each weight takes part in each pass
            self.weights[name].grad, weight.grad = _local(weight.grad).div_(count), None
        return losses

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """As in `Spread`: no element is at two workers."""
        square = nn.utils.get_total_norm(gradients).square()
        dist.all_reduce(square)
        return square.sqrt()

    def fill(self, values: Iterable[tuple[str, Tensor]]) -> None:
        """As in `Spread`."""
        for name, value in values:
            if name in self._rows:
                self.weights[name].data.copy_(value[self._rows[name][self._place.rank]])
            else:
                self._buffers[name].copy_(value)

    def state(self) -> dict[str, Tensor]:
        """As in `Spread`: nothing on other ranks."""
        weights = self.join({name: weight.detach() for name, weight in self.weights.items()})
        return weights and weights | self._buffers

    def join(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As in `Spread`: nothing on other ranks. One tensor after the other, so that a device need not hold all."""
        whole: dict[str, Tensor] = {}
        for name, part in parts.items():
            joined = self._join(name, part) if part.dim() else part
            if joined is not None:
                whole[name] = joined.cpu()
        return whole if self._place.rank == 0 else {}

    def _join(self, name: str, part: Tensor) -> Tensor | None:
        rows = self._rows[name]
        longest = max(each.stop - each.start for each in rows)
        # Collectives want equal sizes.
        own = part.new_zeros(longest, *part.shape[1:])
        own[: len(part)] = part
        if self._place.rank:
            dist.gather(own)
            return None
        parts = [torch.empty_like(own) for _ in rows]
        dist.gather(own, parts)
        whole = part.new_empty(self.shapes[name])
        for each, found in zip(rows, parts, strict=True):
            whole[each] = found[: each.stop - each.start]
        return whole

    def part(self, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As in `Spread`."""
        rank = self._place.rank
        return {name: value[self._rows[name][rank]] if value.dim() else value for name, value in whole.items()}


def _cut(n: int, parts: int, part: int) -> slice:
    """Rows of a part, as `torch.chunk` and FSDP2 cut: equal parts, the last ones shorter or empty."""
    size = -(-n // parts)
    return slice(min(part * size, n), min((part + 1) * size, n))


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
