"""Queries, keys, values -> causal attention on CPU, a block of queries at a time against the keys up to its end.

PyTorch's CPU kernel multiplies a block of queries with all keys and masks the future afterwards; blocks of products
that stop at the diagonal do little more than half of that work. Other devices have kernels that skip the future.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# B sequences, S positions, H heads, Q features of queries and keys, V of values; one block: X queries, Y keys.
_BLOCK = 64


def causal_attention(q_BSHQ: Tensor, k_BSHQ: Tensor, v_BSHV: Tensor, scale: float) -> Tensor:
    """Attention of each position to itself and those before it: (B, S, H, V)."""
    if q_BSHQ.device.type == "cpu":
        mixed_BSHV: Tensor = _BlockAttention.apply(q_BSHQ, k_BSHQ, v_BSHV, scale)
        return mixed_BSHV
    # Fused kernels want values as wide as keys; zero features change nothing.
    v_dim, size = v_BSHV.shape[-1], max(q_BSHQ.shape[-1], v_BSHV.shape[-1])
    q, k, v = (F.pad(t, (0, size - t.shape[-1])).transpose(1, 2) for t in (q_BSHQ, k_BSHQ, v_BSHV))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale).transpose(1, 2)[..., :v_dim]


class _BlockAttention(torch.autograd.Function):
    """Probabilities are kept for the gradient: to compute them again costs more than it saves at sizes for a CPU."""

    @staticmethod
    def forward(ctx: Any, q_BSHQ: Tensor, k_BSHQ: Tensor, v_BSHV: Tensor, scale: float) -> Tensor:
        out_BSHV = torch.empty_like(v_BSHV, memory_format=torch.contiguous_format)
        keep, kept, length = any(ctx.needs_input_grad), [], q_BSHQ.shape[1]
        future_1SS = q_BSHQ.new_full((1, length, length), -torch.inf).triu(1)
        for q_HSQ, k_HSQ, v_HSV, out_HSV in _sequences(q_BSHQ, k_BSHQ, v_BSHV, out_BSHV):
            for start in range(0, length, _BLOCK):
                end = min(start + _BLOCK, length)
                scores_HXY = torch.baddbmm(
                    future_1SS[:, start:end, :end], q_HSQ[:, start:end], k_HSQ[:, :end].mT, alpha=scale
                )
                weights_HXY = scores_HXY.softmax(dim=-1)
                out_HSV[:, start:end].baddbmm_(weights_HXY, v_HSV[:, :end], beta=0)
                if keep:
                    kept.append(weights_HXY)
        ctx.save_for_backward(q_BSHQ, k_BSHQ, v_BSHV, *kept)
        ctx.scale = scale
        return out_BSHV

    @staticmethod
    def backward(ctx: Any, grad_BSHV: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q_BSHQ, k_BSHQ, v_BSHV, *kept = ctx.saved_tensors
        weights, scale, length = iter(kept), ctx.scale, q_BSHQ.shape[1]
        gq_BSHQ, gk_BSHQ, gv_BSHV = torch.empty_like(q_BSHQ), torch.zeros_like(k_BSHQ), torch.zeros_like(v_BSHV)
        for q, k, v, gq, gk, gv, grad in _sequences(q_BSHQ, k_BSHQ, v_BSHV, gq_BSHQ, gk_BSHQ, gv_BSHV, grad_BSHV):
            for start in range(0, length, _BLOCK):
                end = min(start + _BLOCK, length)
                weights_HXY, grad_HXV = next(weights), grad[:, start:end]
                gv[:, :end].baddbmm_(weights_HXY.mT, grad_HXV)
                gweights_HXY = torch.bmm(grad_HXV, v[:, :end].mT)
                # d scores = w * (g - sum(w * g)), as the softmax's own gradient does it.
                gscores_HXY = torch._softmax_backward_data(gweights_HXY, weights_HXY, -1, weights_HXY.dtype)
                gq[:, start:end].baddbmm_(gscores_HXY, k[:, :end], beta=0, alpha=scale)
                gk[:, :end].baddbmm_(gscores_HXY.mT, q[:, start:end], alpha=scale)
        return gq_BSHQ, gk_BSHQ, gv_BSHV, None


def _sequences(*tensors_BSHX: Tensor) -> list[tuple[Tensor, ...]]:
    """Views (H, S, X) of each sequence: its heads are one batch of products that stays in the CPU's cache."""
    return list(zip(*(t.transpose(1, 2).unbind(0) for t in tensors_BSHX), strict=True))
