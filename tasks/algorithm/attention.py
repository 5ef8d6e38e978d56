"""Residual stream -> what each token reads from those before it: multi-head latent attention with decoupled RoPE.

DeepSeek-V2 (https://arxiv.org/abs/2405.04434, section 2.1). Names of weights are those of
`transformers.DeepseekV3ForCausalLM`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from tasks.algorithm.causal import causal_attention
from tasks.algorithm.norm import RMSNorm
from tasks.algorithm.shape import Shape

# B sequences, S positions, D width, H heads, N unrotated and R rotated features of a head, V its value features.

# DeepSeek-V3 and transformers norm the two latents with this epsilon, whatever `norm_eps` says.
_LATENT_NORM_EPS = 1e-6


class Linear(nn.Linear):
    """Matrix without bias and without a start value: `Model.init_weights` or a file sets it."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, bias=False)

    def reset_parameters(self) -> None:
        """Nothing: random numbers come from one seeded generator."""


class Attention(nn.Module):
    """Causal multi-head latent attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q_a_proj = Linear(shape.width, shape.q_lora_rank)
        self.q_a_layernorm = RMSNorm(shape.q_lora_rank, _LATENT_NORM_EPS)
        self.q_b_proj = Linear(shape.q_lora_rank, shape.n_heads * shape.qk_head_dim)
        self.kv_a_proj_with_mqa = Linear(shape.width, shape.kv_lora_rank + shape.qk_rope_head_dim)
        self.kv_a_layernorm = RMSNorm(shape.kv_lora_rank, _LATENT_NORM_EPS)
        self.kv_b_proj = Linear(shape.kv_lora_rank, shape.n_heads * (shape.qk_nope_head_dim + shape.v_head_dim))
        self.o_proj = Linear(shape.n_heads * shape.v_head_dim, shape.width)

    def forward(self, x_BSD: Tensor, rotations_SR: Tensor, starts_BS: Tensor | None = None) -> Tensor:
        """Output (B, S, D); `rotations_SR` is `rotations` of S positions, `starts_BS` as in `causal_attention`."""
        shape = self.shape
        n_heads = shape.n_heads

        q_BSHQ = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x_BSD))).unflatten(-1, (n_heads, -1))
        latent_BSC, k_BSR = self.kv_a_proj_with_mqa(x_BSD).split([shape.kv_lora_rank, shape.qk_rope_head_dim], dim=-1)
        kv_BSHF = self.kv_b_proj(self.kv_a_layernorm(latent_BSC)).unflatten(-1, (n_heads, -1))
        q_BSHQ, k_BSHQ, v_BSHV = _Heads.apply(q_BSHQ, k_BSR, kv_BSHF, rotations_SR)
        mixed_BSHV = causal_attention(q_BSHQ, k_BSHQ, v_BSHV, shape.qk_head_dim**-0.5, starts_BS)
        return self.o_proj(mixed_BSHV.flatten(2))


class _Heads(torch.autograd.Function):
    """Queries with their last features rotated; keys: each head's own features, then the rotated ones of all; values.

    Each head's features stand together in memory. Written out since copies into place take a third of the time of
    `cat` and its gradient on a CPU.
    """

    @staticmethod
    def forward(
        ctx: Any, q_BSHQ: Tensor, k_BSR: Tensor, kv_BSHF: Tensor, rotations_SR: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(rotations_SR)
        nope = q_BSHQ.shape[-1] - k_BSR.shape[-1]
        q, k = (q_BSHQ.new_empty(q_BSHQ.transpose(1, 2).shape).transpose(1, 2) for _ in range(2))
        q[..., :nope] = q_BSHQ[..., :nope]
        q[..., nope:] = rotate(q_BSHQ[..., nope:], rotations_SR)
        k[..., :nope] = kv_BSHF[..., :nope]
        k[..., nope:] = rotate(k_BSR.unsqueeze(2), rotations_SR)
        return q, k, kv_BSHF[..., nope:].transpose(1, 2).contiguous().transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, gq_BSHQ: Tensor, gk_BSHQ: Tensor, gv_BSHV: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        back_SR = ctx.saved_tensors[0].conj().resolve_conj()
        rope = 2 * back_SR.shape[-1]
        nope = gq_BSHQ.shape[-1] - rope
        gq = torch.empty_like(gq_BSHQ, memory_format=torch.contiguous_format)
        gq[..., :nope] = gq_BSHQ[..., :nope]
        gq[..., nope:] = rotate(gq_BSHQ[..., nope:], back_SR)
        gk_BSR = rotate(gk_BSHQ[..., nope:].sum(dim=2, keepdim=True), back_SR).squeeze(2)
        return gq, gk_BSR, torch.cat((gk_BSHQ[..., :nope], gv_BSHV), dim=-1).contiguous(), None


def rotations(length: int, rope_dim: int, theta: float) -> Tensor:
    """Complex numbers (S, R / 2) of size 1 whose angle is position times frequency.

    RoPE, https://arxiv.org/abs/2104.09864, section 3.2.2.
    """
    frequencies_R = 1.0 / theta ** (torch.arange(0, rope_dim, 2, dtype=torch.float32) / rope_dim)
    angles_SR = torch.arange(length, dtype=torch.float32)[:, None] * frequencies_R
    return torch.polar(torch.ones_like(angles_SR), angles_SR)


def rotate(x_BSHR: Tensor, rotations_SR: Tensor) -> Tensor:
    """Turn the interleaved pairs (x0, x1), (x2, x3), ... of each position by its angles.

    transformers puts all first halves of pairs before all second halves afterwards; as it does so for queries and
    keys alike, scores are the same.
    """
    pairs_BSHR = torch.view_as_complex(x_BSHR.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs_BSHR * rotations_SR[:, None]).flatten(-2).to(x_BSHR.dtype)
