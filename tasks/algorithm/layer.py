"""Residual stream -> residual stream: a decoder layer, in the precision and with the memory that a pass may take."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.algorithm.attention import Attention
from tasks.algorithm.moe import FeedForward, MoE
from tasks.algorithm.norm import RMSNorm
from tasks.algorithm.shape import Shape

# B sequences, S positions, D width, R rotated features, E experts.


@dataclass(frozen=True)
class Pass:
    """What all layers of one pass through the model go by."""

    rotations_SR: Tensor
    starts_BS: Tensor | None = None  # as in `causal_attention`
    balance_loss: float = 0.0  # weights of the router's losses
    z_loss: float = 0.0
    bf16: bool = False  # matrix products of layers; router, norms and the residual stream stay in fp32
    recompute: bool = False  # keep a layer's input alone, and compute its inside again for the gradient

    def through(self, layer: "Layer", x_BSD: Tensor) -> "Out":
        """What a layer makes of the residual stream (B, S, D)."""
        with self._precision(x_BSD.device.type):
            if not (self.recompute and torch.is_grad_enabled()):
                out: Out = layer(x_BSD, self)
                return out
            from torch.utils.checkpoint import checkpoint

            again: Out = checkpoint(layer, x_BSD, self, use_reentrant=False, preserve_rng_state=False)
            return again

    def _precision(self, device: str) -> AbstractContextManager[object]:
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.bf16)


# Residual stream (B, S, D); tokens of each routed expert (E,) and the router's loss, None without experts.
Out = tuple[Tensor, Tensor | None, Tensor | None]


class Layer(nn.Module):
    """Attention, then feed-forward, each on the normed residual stream (pre-norm)."""

    def __init__(self, shape: Shape, *, dense: bool) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.mlp: FeedForward | MoE = FeedForward(shape.width, shape.dense_ffn_width) if dense else MoE(shape)

    def forward(self, x_BSD: Tensor, view: Pass) -> Out:
        """Residual stream after this layer. Nothing is counted in here: a layer may be computed twice."""
        x_BSD = x_BSD + self.self_attn(self.input_layernorm(x_BSD), view.rotations_SR, view.starts_BS)
        h_TD = self.post_attention_layernorm(x_BSD).flatten(0, 1)
        if isinstance(self.mlp, FeedForward):
            return x_BSD + self.mlp(h_TD).view_as(x_BSD), None, None
        counts_E = torch.zeros(self.mlp.n_experts, dtype=torch.int64, device=x_BSD.device)
        out_TD, routing = self.mlp(h_TD, counts_E)
        loss = routing.loss(len(x_BSD), balance=view.balance_loss, z=view.z_loss)
        return x_BSD + out_TD.view_as(x_BSD), counts_E, loss
