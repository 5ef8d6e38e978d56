"""Residual stream -> feed-forward output: SwiGLU, alone in dense layers, as routed and shared experts in MoE layers.

DeepSeek-V3 (https://arxiv.org/abs/2412.19437, section 2.1.2): sigmoid scores, group-limited choice with a balancing
bias. Losses of the router are for who wants them (`routing.py`). Dropless: every chosen expert sees every token that
chose it.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.algorithm import swiglu
from tasks.algorithm.attention import Linear
from tasks.algorithm.routing import Routing
from tasks.algorithm.shape import Shape

# T tokens, D width, I hidden width of an expert, E experts, K chosen experts a token, P = T * K pairs, G groups;
# N pairs of one expert.

# A CPU's kernel for a matrix product is made for a number of rows: experts have a multiple of this many.
_ROWS = 32


class FeedForward(nn.Module):
    """SwiGLU (https://arxiv.org/abs/2002.05202): down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.gate_up_proj = Linear(width, 2 * hidden_width)
        self.down_proj = Linear(hidden_width, width)

    def forward(self, x_TD: Tensor) -> Tensor:
        """Output (T, D)."""
        return self.down_proj(swiglu.swiglu(self.gate_up_proj(x_TD)))


class Router(nn.Module):
    """Which experts a token uses, and how much of each; in fp32 whatever the rest computes in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(torch.empty(shape.n_experts, shape.width))
        self.register_buffer("e_score_correction_bias", torch.zeros(shape.n_experts))
        self.e_score_correction_bias: Tensor

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Routing]:
        """Weights (T, K) of the chosen experts, and which these are."""
        with torch.autocast(x_TD.device.type, enabled=False):
            logits_TE = F.linear(x_TD.float(), self.weight.float())
        scores_TE = logits_TE.sigmoid()
        with torch.no_grad():
            chosen_TK = self._choose(scores_TE)
        weights_TK = scores_TE.gather(1, chosen_TK)
        # The bias steers the choice alone; the weight of an expert is its score.
        weights_TK = weights_TK / (weights_TK.sum(dim=-1, keepdim=True) + 1e-20)
        return weights_TK * self.shape.routed_scaling_factor, Routing(logits_TE, scores_TE, chosen_TK)

    def _choose(self, scores_TE: Tensor) -> Tensor:
        shape = self.shape
        biased_TE = scores_TE + self.e_score_correction_bias
        if shape.top_k_groups < shape.n_groups:
            biased_TGE = biased_TE.unflatten(1, (shape.n_groups, -1))
            groups_TG = biased_TGE.topk(2, dim=-1).values.sum(dim=-1)
            best_TG = groups_TG.topk(shape.top_k_groups, dim=-1).indices
            closed_TG = torch.ones_like(groups_TG, dtype=torch.bool).scatter_(1, best_TG, value=False)
            biased_TE = biased_TGE.masked_fill(closed_TG.unsqueeze(-1), -torch.inf).flatten(1)
        return biased_TE.topk(shape.top_k, dim=-1).indices


class Experts(nn.Module):
    """Routed experts, their weights stacked: gate and up (E, 2 I, D), down (E, D, I)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        n_experts, width, hidden = shape.n_experts, shape.width, shape.expert_ffn_width
        self.gate_up_proj = nn.Parameter(torch.empty(n_experts, 2 * hidden, width))
        self.down_proj = nn.Parameter(torch.empty(n_experts, width, hidden))

    def forward(self, x_TD: Tensor, weights_TK: Tensor, chosen_TK: Tensor, counts_E: Tensor) -> Tensor:
        """Weighted sum (T, D) of the chosen experts; their loads are added to `counts_E`."""
        x_TD, gate_up_EFD, down_EDI = _in_precision(x_TD, self.gate_up_proj, self.down_proj)
        on_cpu = x_TD.device.type == "cpu"
        pairs = Pairs(chosen_TK, len(counts_E), multiple=_ROWS if on_cpu else 1)
        counts_E += pairs.counts_E
        if on_cpu:
            out_TD: Tensor = _ExpertByExpert.apply(x_TD, weights_TK, gate_up_EFD, down_EDI, pairs)
            return out_TD
        ends_E = pairs.ends_E.int()
        h_PF = F.grouped_mm(_Spread.apply(x_TD, pairs), gate_up_EFD.transpose(1, 2), offs=ends_E)
        h_PI = swiglu.swiglu(h_PF, pairs.weigh(weights_TK))
        return _Collect.apply(F.grouped_mm(h_PI, down_EDI.transpose(1, 2), offs=ends_E), pairs)


def _in_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """What autocast makes of a matrix product's operands; it does not know grouped products."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)


class MoE(nn.Module):
    """Routed and shared experts."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.n_experts = shape.n_experts
        self.gate = Router(shape)
        self.experts = Experts(shape)
        # As DeepSeek-V3 stores them: all shared experts are one feed-forward as wide as their sum.
        self.shared_experts = FeedForward(shape.width, shape.n_shared_experts * shape.expert_ffn_width)

    def forward(self, x_TD: Tensor, counts_E: Tensor) -> tuple[Tensor, Routing]:
        """Output (T, D), and how it was routed; the number of tokens of each routed expert is added to `counts_E`."""
        weights_TK, routing = self.gate(x_TD)
        routed_TD = self.experts(x_TD, weights_TK, routing.chosen_TK, counts_E)
        return routed_TD + self.shared_experts(x_TD), routing


class Pairs:
    """Pairs of a token and an expert that it chose, ordered by expert and, within one, by token.

    The pairs of each expert are filled up to a multiple of `multiple` with pairs of the first token whose weight is
    zero: a matrix product's kernel is made once for each number of rows, and there shall be few of them.
    """

    def __init__(self, chosen_TK: Tensor, n_experts: int, *, multiple: int = 1) -> None:
        top_k, device = chosen_TK.shape[1], chosen_TK.device
        experts_P, self._order_P = chosen_TK.flatten().sort(stable=True)
        before_E = torch.searchsorted(experts_P, torch.arange(n_experts + 1, device=device))
        self.counts_E = before_E.diff()
        sizes_E = self.counts_E if multiple == 1 else (self.counts_E + multiple - 1) // multiple * multiple
        self.ends_E = sizes_E.cumsum(0)
        self._slots_P = torch.arange(len(experts_P), device=device)
        if multiple > 1:
            self._slots_P += (self.ends_E - sizes_E - before_E[:-1]).index_select(0, experts_P)
        n_slots = len(experts_P) if multiple == 1 else int(self.ends_E[-1])
        self.token_P = self._order_P.new_zeros(n_slots).scatter_(0, self._slots_P, self._order_P // top_k)
        self.place_TK = torch.empty_like(self._order_P).scatter_(0, self._order_P, self._slots_P).view_as(chosen_TK)

    def segments(self) -> list[tuple[int, slice]]:
        """Experts that have pairs, and where these are."""
        ends = [0, *self.ends_E.tolist()]
        return [(e, slice(*bounds)) for e, bounds in enumerate(pairwise(ends)) if bounds[0] < bounds[1]]

    def spread(self, x_TD: Tensor) -> Tensor:
        """Each token's row once for each of its pairs."""
        return x_TD.index_select(0, self.token_P)

    def weigh(self, weights_TK: Tensor) -> Tensor:
        """The weight of each pair."""
        weights_P = weights_TK.new_zeros(len(self.token_P))
        return weights_P.index_copy(0, self.place_TK.flatten(), weights_TK.flatten())

    def collect(self, y_PD: Tensor) -> Tensor:
        """Sum of the rows of each token's pairs, in the order of its choices."""
        return F.embedding_bag(self.place_TK, y_PD, mode="sum")


class _ExpertByExpert(torch.autograd.Function):
    """All that an expert does to its tokens, and its gradient, while they are in a CPU core's cache."""

    @staticmethod
    def forward(
        ctx: Any, x_TD: Tensor, weights_TK: Tensor, gate_up_EFD: Tensor, down_EDI: Tensor, pairs: Pairs
    ) -> Tensor:
        weights_P = pairs.weigh(weights_TK)
        h_PF = x_TD.new_empty(len(pairs.token_P), gate_up_EFD.shape[1])
        y_PD = x_TD.new_empty(len(pairs.token_P), x_TD.shape[1])
        for expert, own in pairs.segments():
            x_ND = x_TD.index_select(0, pairs.token_P[own])
            h_NF = torch.mm(x_ND, gate_up_EFD[expert].T, out=h_PF[own])
            torch.mm(swiglu.product(h_NF, weights_P[own]), down_EDI[expert].T, out=y_PD[own])
        ctx.save_for_backward(x_TD, weights_P, gate_up_EFD, down_EDI, h_PF)
        ctx.pairs = pairs
        return pairs.collect(y_PD)

    @staticmethod
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        x_TD, weights_P, gate_up_EFD, down_EDI, h_PF = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        ggate_up_EFD, gdown_EDI = torch.zeros_like(gate_up_EFD), torch.zeros_like(down_EDI)
        gweights_P, gx_PD = torch.empty_like(weights_P), x_TD.new_empty(len(pairs.token_P), x_TD.shape[1])
        for expert, own in pairs.segments():
            x_ND, grad_ND = (t.index_select(0, pairs.token_P[own]) for t in (x_TD, grad_TD))
            gh_NI = grad_ND @ down_EDI[expert]
            product_NI, gh_NF, gweights_N = swiglu.gradients(h_PF[own], weights_P[own], gh_NI)
            torch.mm(grad_ND.T, product_NI, out=gdown_EDI[expert])
            torch.mm(gh_NF.T, x_ND, out=ggate_up_EFD[expert])
            torch.mm(gh_NF, gate_up_EFD[expert], out=gx_PD[own])
            gweights_P[own] = gweights_N
        gweights_TK = gweights_P.index_select(0, pairs.place_TK.flatten()).view_as(pairs.place_TK)
        return pairs.collect(gx_PD), gweights_TK, ggate_up_EFD, gdown_EDI, None


class _Spread(torch.autograd.Function):
    """`Pairs.spread`. Its gradient is `collect`, and the other way round: reads, no index_add, always the same bits."""

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return pairs.spread(x_TD)

    @staticmethod
    def backward(ctx: Any, grad_PD: Tensor) -> tuple[Tensor, None]:
        return ctx.pairs.collect(grad_PD), None


class _Collect(torch.autograd.Function):
    """`Pairs.collect`."""

    @staticmethod
    def forward(ctx: Any, y_PD: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return pairs.collect(y_PD)

    @staticmethod
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor, None]:
        return ctx.pairs.spread(grad_TD), None
