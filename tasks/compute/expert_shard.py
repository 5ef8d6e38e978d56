"""Tokens of all workers -> each through the worker that has its expert, and back: expert parallelism.

GShard (https://arxiv.org/abs/2006.16668, section 3.2), without capacities: no token is dropped, however uneven the
loads are.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed._functional_collectives import all_to_all_single_autograd, wait_tensor
from torch.distributed.device_mesh import DeviceMesh

from tasks.algorithm.moe import Experts
from tasks.algorithm.shape import Shape

# T tokens, D width, K chosen experts a token, P = T * K pairs, E experts, W workers that share them, R received pairs.


class ExpertShard(Experts):
    """A worker's own experts, E / W of them, called like all of them: the workers of `mesh` call it together."""

    def __init__(self, whole: Experts, shape: Shape, mesh: DeviceMesh) -> None:
        own = shape.n_experts // mesh.size()
        super().__init__(shape.model_copy(update={"n_experts": own}))
        self._group, self._own = mesh.get_group(), own
        first = mesh.get_local_rank() * own
        weights = dict(whole.named_parameters())
        for name, weight in self.named_parameters():
            weight.data = weights[name].detach()[first : first + own].to(mesh.device_type, copy=True)

    def forward(self, x_TD: Tensor, weights_TK: Tensor, chosen_TK: Tensor, counts_E: Tensor) -> Tensor:
        """Weighted sum (T, D) of the chosen experts; the loads of this worker's tokens are added to `counts_E`."""
        top_k = chosen_TK.shape[1]
        experts_P, order_P = chosen_TK.flatten().sort(stable=True)
        loads_E = torch.bincount(experts_P, minlength=len(counts_E))
        counts_E += loads_E
        sends_W, receives_W, chosen_R = self._announce(loads_E)
        # Rows are repeated and permuted, not looked up: no two gradients meet at one place, so chance orders no sum.
        x_PD = x_TD.unsqueeze(1).expand(-1, top_k, -1).flatten(0, 1).index_select(0, order_P)
        weights_P = weights_TK.flatten().index_select(0, order_P)
        x_RD, weights_R = (self._send(rows, sends_W, receives_W) for rows in (x_PD, weights_P))
        # A pair that arrived is a token with one choice.
        loads_here = loads_E.new_zeros(self._own)
        y_RD = super().forward(x_RD, weights_R.unsqueeze(1), chosen_R.unsqueeze(1), loads_here)
        y_PD = self._send(y_RD, receives_W, sends_W)
        return y_PD.index_select(0, order_P.argsort()).unflatten(0, (-1, top_k)).sum(dim=1)

    def _announce(self, loads_E: Tensor) -> tuple[list[int], list[int], Tensor]:
        """Pairs to send to each worker and to receive from each, and the own expert of each received one."""
        coming_E = torch.empty_like(loads_E)
        dist.all_to_all_single(coming_E, loads_E, group=self._group)
        sends_W, receives_W = (loads.view(-1, self._own).sum(dim=1).tolist() for loads in (loads_E, coming_E))
        own_E = torch.arange(len(loads_E), device=loads_E.device) % self._own
        return sends_W, receives_W, own_E.repeat_interleave(coming_E)

    def _send(self, rows: Tensor, sends_W: list[int], receives_W: list[int]) -> Tensor:
        sent: Tensor = wait_tensor(all_to_all_single_autograd(rows.contiguous(), receives_W, sends_W, self._group))
        return sent
