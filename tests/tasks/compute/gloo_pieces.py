"""What `test_expert_shard.py` asks of several processes: experts and Muon's directions, shared by them."""

import json
import sys
from itertools import pairwise

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from tasks.algorithm.moe import Experts
from tasks.algorithm.optimizer import orthogonalize_all
from tasks.algorithm.shape import Shape
from tasks.compute.expert_shard import ExpertShard
from tasks.compute.share import ShardedDirections
from tests.tasks.compute.gloo_worker import connected

_TOKENS, _WIDTH, _HIDDEN, _EXPERTS, _TOP_K = 24, 16, 8, 4, 2


def far(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp(min=1e-9))


def experts(case: str, rank: int, workers: int) -> dict[str, float]:
    """Distances of output, gradients and loads of experts on all workers from those of all experts here."""
    torch.manual_seed(1)
    shape = Shape.model_construct(width=_WIDTH, expert_ffn_width=_HIDDEN, n_experts=_EXPERTS, n_groups=1)
    whole = Experts(shape)
    for weight in whole.parameters():
        weight.data.normal_()
    shard = ExpertShard(whole, shape, init_device_mesh("cpu", (workers,)))
    x_TD = torch.randn(_TOKENS, _WIDTH, requires_grad=True)
    chosen_TK = torch.stack([torch.randperm(_EXPERTS)[:_TOP_K] for _ in range(_TOKENS)])
    if case == "all to one worker":
        chosen_TK = torch.stack([torch.randperm(_EXPERTS // workers)[:_TOP_K] for _ in range(_TOKENS)])
    weights_TK = torch.rand(chosen_TK.shape, requires_grad=True)
    counts_E = torch.zeros(_EXPERTS, dtype=torch.int64)
    out_TD = whole(x_TD, weights_TK, chosen_TK, counts_E)
    probe_TD = torch.randn(_TOKENS, _WIDTH)
    grads = torch.autograd.grad((out_TD * probe_TD).sum(), [x_TD, weights_TK, *whole.parameters()])

    own = torch.arange(_TOKENS).tensor_split(workers)[rank]
    if case == "of no tokens here":
        own = torch.arange(_TOKENS).tensor_split([0] if workers == 2 else [0, 1, 9])[rank]
    x_ND, weights_NK = (tensor.detach()[own].requires_grad_() for tensor in (x_TD, weights_TK))
    found_E = torch.zeros_like(counts_E)
    found_ND = shard(x_ND, weights_NK, chosen_TK[own], found_E)
    own_grads = torch.autograd.grad((found_ND * probe_TD[own]).sum(), [x_ND, weights_NK, *shard.parameters()])
    dist.all_reduce(found_E)
    mine = slice(rank * _EXPERTS // workers, (rank + 1) * _EXPERTS // workers)
    expected = [out_TD[own], grads[0][own], grads[1][own], grads[2][mine], grads[3][mine], counts_E.double()]
    found = [found_ND, *own_grads, found_E.double()]
    names = ["output", "x", "weights", "gate_up", "down", "loads"]
    return {name: far(a, b) for name, a, b in zip(names, found, expected, strict=True)}


def directions(rank: int, workers: int) -> dict[str, float]:
    """Distances of this worker's rows of directions from those of whole updates."""
    torch.manual_seed(2)
    # Three rows leave a fourth worker without any.
    updates = {"a": torch.randn(3, 8), "gate_up_proj": torch.randn(10, 4), "b": torch.randn(6, 6)}
    updates |= {"experts": torch.randn(5, 4, 6)}
    rows = {}
    for name, update in updates.items():
        size = -(-len(update) // workers)
        ends = [min(i * size, len(update)) for i in range(workers + 1)]
        rows[name] = [slice(*pair) for pair in pairwise(ends)]
    shapes = {name: update.shape for name, update in updates.items()}
    parts = {name: update[rows[name][rank]].clone() for name, update in updates.items()}
    found = ShardedDirections(rank=rank, shapes=shapes, rows=rows)(parts, 1)
    whole = zip(updates, orthogonalize_all(updates, 1), found, strict=True)
    return {name: far(own, direction[rows[name][rank]]) for name, direction, own in whole}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    place = asked["rank"], asked["workers"]
    with connected(asked):
        cases = ("even", "all to one worker", "of no tokens here")
        distances = {case: experts(case, *place) for case in cases} | {"directions": directions(*place)}
    sys.stdout.write(json.dumps(distances))
