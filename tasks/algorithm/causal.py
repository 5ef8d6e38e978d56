"""Queries, keys, values -> causal attention on CPU, a block of queries at a time against the keys up to its end.

PyTorch's CPU kernel multiplies a block of queries with all keys and masks the future afterwards; blocks of products
that stop at the diagonal do little more than half of that work. Other devices have kernels that skip the future.

Where a sequence has several documents, a position sees those of its own alone (Llama 3, https://arxiv.org/abs/2407.21783,
section 3.2): products with documents that end before a block are not made.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

# B sequences, S positions, H heads, Q features of queries and keys, V of values; one block: X queries, Y keys.
_BLOCK = 64


def causal_attention(
    q_BSHQ: Tensor, k_BSHQ: Tensor, v_BSHV: Tensor, scale: float, starts_BS: Tensor | None = None
) -> Tensor:
    """Attention of each position to itself and those before it: (B, S, H, V).

    `starts_BS` says at which position of its sequence each position's document begins: none before it is seen.
    """
    if q_BSHQ.device.type == "cpu":
        mixed_BSHV: Tensor = _BlockAttention.apply(q_BSHQ, k_BSHQ, v_BSHV, scale, starts_BS)
        return mixed_BSHV
    return fused_attention(q_BSHQ, k_BSHQ, v_BSHV, scale, starts_BS)


def fused_attention(
    q_BSHQ: Tensor, k_BSHQ: Tensor, v_BSHV: Tensor, scale: float, starts_BS: Tensor | None = None
) -> Tensor:
    """`causal_attention` by PyTorch's own kernels: of variable length for documents where they have one, in 16 bits."""
    # Fused kernels want values as wide as keys; zero features change nothing.
    v_dim, size = v_BSHV.shape[-1], max(q_BSHQ.shape[-1], v_BSHV.shape[-1])
    q, k, v = (F.pad(t, (0, size - t.shape[-1])) for t in (q_BSHQ, k_BSHQ, v_BSHV))
    if starts_BS is not None and q.is_cuda and q.element_size() == 2:
        from torch.nn.attention.varlen import varlen_attn

        ends, longest = document_bounds(starts_BS), starts_BS.shape[1]
        flat_q, flat_k, flat_v = (t.flatten(0, 1) for t in (q, k, v))
        mixed = varlen_attn(flat_q, flat_k, flat_v, ends, ends, longest, longest, scale=scale, window_size=(-1, 0))
        return cast(Tensor, mixed).view_as(q)[..., :v_dim]
    seen_B1SS = None if starts_BS is None else _seen(starts_BS).unsqueeze(1)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen_B1SS, is_causal=seen_B1SS is None, scale=scale)
    return mixed.transpose(1, 2)[..., :v_dim]


def document_bounds(starts_BS: Tensor) -> Tensor:
    """Where the documents of all sequences, one after the other, begin, and where the last ends: (documents + 1,)."""
    places_S = torch.arange(starts_BS.shape[1], device=starts_BS.device)
    begins = (starts_BS == places_S).flatten().nonzero().flatten()
    return F.pad(begins, (0, 1), value=starts_BS.numel()).int()


def _seen(starts_BS: Tensor) -> Tensor:
    """Whether a position (first S) sees another (second S): (B, S, S)."""
    places_S = torch.arange(starts_BS.shape[1], device=starts_BS.device)
    return (places_S >= starts_BS.unsqueeze(-1)) & (places_S <= places_S.unsqueeze(-1))


class _BlockAttention(torch.autograd.Function):
    """Probabilities are kept for the gradient: to compute them again costs more than it saves at sizes for a CPU."""

    @staticmethod
    def forward(
        ctx: Any, q_BSHQ: Tensor, k_BSHQ: Tensor, v_BSHV: Tensor, scale: float, starts_BS: Tensor | None
    ) -> Tensor:
        out_BSHV = torch.empty_like(v_BSHV, memory_format=torch.contiguous_format)
        keep, kept, length = any(ctx.needs_input_grad), [], q_BSHQ.shape[1]
        future_1SS = q_BSHQ.new_full((1, length, length), -torch.inf).triu(1)
        places_S = torch.arange(length)
        ctx.blocks = [_blocks(length, starts_S) for starts_S in _rows(starts_BS, len(q_BSHQ))]
        sequences = _sequences(q_BSHQ, k_BSHQ, v_BSHV, out_BSHV)
        for row, ((q_HSQ, k_HSQ, v_HSV, out_HSV), blocks) in enumerate(zip(sequences, ctx.blocks, strict=True)):
            for start, end, first, is_mixed in blocks:
                mask_1XY = future_1SS[:, start:end, first:end]
                if is_mixed and starts_BS is not None:
                    others_XY = places_S[first:end] < starts_BS[row, start:end].unsqueeze(1)
                    mask_1XY = mask_1XY.masked_fill(others_XY, -torch.inf)
                scores_HXY = torch.baddbmm(mask_1XY, q_HSQ[:, start:end], k_HSQ[:, first:end].mT, alpha=scale)
                weights_HXY = scores_HXY.softmax(dim=-1)
                out_HSV[:, start:end].baddbmm_(weights_HXY, v_HSV[:, first:end], beta=0)
                if keep:
                    kept.append(weights_HXY)
        ctx.save_for_backward(q_BSHQ, k_BSHQ, v_BSHV, *kept)
        ctx.scale = scale
        return out_BSHV

    @staticmethod
    def backward(ctx: Any, grad_BSHV: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_BSHQ, k_BSHQ, v_BSHV, *kept = ctx.saved_tensors
        weights, scale = iter(kept), ctx.scale
        gq_BSHQ, gk_BSHQ, gv_BSHV = torch.empty_like(q_BSHQ), torch.zeros_like(k_BSHQ), torch.zeros_like(v_BSHV)
        sequences = _sequences(q_BSHQ, k_BSHQ, v_BSHV, gq_BSHQ, gk_BSHQ, gv_BSHV, grad_BSHV)
        for (q, k, v, gq, gk, gv, grad), blocks in zip(sequences, ctx.blocks, strict=True):
            for start, end, first, _ in blocks:
                weights_HXY, grad_HXV = next(weights), grad[:, start:end]
                gv[:, first:end].baddbmm_(weights_HXY.mT, grad_HXV)
                gweights_HXY = torch.bmm(grad_HXV, v[:, first:end].mT)
                # d scores = w * (g - sum(w * g)), as the softmax's own gradient does it.
                gscores_HXY = torch._softmax_backward_data(gweights_HXY, weights_HXY, -1, weights_HXY.dtype)
                gq[:, start:end].baddbmm_(gscores_HXY, k[:, first:end], beta=0, alpha=scale)
                gk[:, first:end].baddbmm_(gscores_HXY.mT, q[:, start:end], alpha=scale)
        return gq_BSHQ, gk_BSHQ, gv_BSHV, None, None


def _rows(starts_BS: Tensor | None, batch: int) -> list[list[int] | None]:
    return [None] * batch if starts_BS is None else starts_BS.tolist()


def _blocks(length: int, starts_S: list[int] | None) -> list[tuple[int, int, int, bool]]:
    """Queries of a block, from and to; the first key that one of them sees; whether another of them must not see it."""
    blocks = []
    for start in range(0, length, _BLOCK):
        end = min(start + _BLOCK, length)
        first, last = (starts_S[start], starts_S[end - 1]) if starts_S else (0, 0)
        blocks.append((start, end, first, last > first))
    return blocks


def _sequences(*tensors_BSHX: Tensor) -> list[tuple[Tensor, ...]]:
    """Views (H, S, X) of each sequence: its heads are one batch of products that stays in the CPU's cache."""
    return list(zip(*(t.transpose(1, 2).unbind(0) for t in tensors_BSHX), strict=True))
