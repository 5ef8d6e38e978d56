"""Queries, keys, values -> causal attention on CPU, a block of queries at a time against the keys up to its end.

PyTorch's CPU kernel multiplies a block of queries with all keys and masks the future afterwards; blocks of products
that stop at the diagonal do little more than half of that work. Other devices have kernels that skip the future.

Where a sequence has several documents, a position sees those of its own alone (Llama 3, https://arxiv.org/abs/2407.21783,
section 3.2): products with documents that end before a block are not made.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.algorithm.products import has_kernels

# B sequences, S positions, H heads, Q features of queries and keys, V of values; one block: X queries, Y keys.
_BLOCK = 128


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
        q_BHSQ, k_BHSQ, v_BHSV = (_by_head(t) for t in (q_BSHQ, k_BSHQ, v_BSHV))
        out_BHSV, kept, keep = torch.empty_like(v_BHSV), [], any(ctx.needs_input_grad)
        ctx.blocks = list(_blocks(q_BHSQ.shape[2], starts_BS, len(q_BHSQ)))
        for row, queries, keys, begins_X, ends_X in ctx.blocks:
            weights_HXY = torch.bmm(q_BHSQ[row, :, queries], k_BHSQ[row, :, keys].mT)
            _softmax(weights_HXY, begins_X, ends_X, scale)
            torch.bmm(weights_HXY, v_BHSV[row, :, keys], out=out_BHSV[row, :, queries])
            if keep:
                kept.append(weights_HXY)
        ctx.save_for_backward(q_BHSQ, k_BHSQ, v_BHSV, *kept)
        ctx.scale = scale
        return out_BHSV.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad_BSHV: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_BHSQ, k_BHSQ, v_BHSV, *kept = ctx.saved_tensors
        grad_BHSV = _by_head(grad_BSHV)
        gq_BHSQ, gk_BHSQ, gv_BHSV = torch.empty_like(q_BHSQ), torch.zeros_like(k_BHSQ), torch.zeros_like(v_BHSV)
        for (row, queries, keys, _, _), weights_HXY in zip(ctx.blocks, kept, strict=True):
            grad_HXV = grad_BHSV[row, :, queries]
            gv_BHSV[row, :, keys].baddbmm_(weights_HXY.mT, grad_HXV)
            gscores_HXY = torch.bmm(grad_HXV, v_BHSV[row, :, keys].mT)
            gscores_HXY = _softmax_backward(weights_HXY, gscores_HXY, ctx.scale)
            torch.bmm(gscores_HXY, k_BHSQ[row, :, keys], out=gq_BHSQ[row, :, queries])
            gk_BHSQ[row, :, keys].baddbmm_(gscores_HXY.mT, q_BHSQ[row, :, queries])
        return gq_BHSQ.transpose(1, 2), gk_BHSQ.transpose(1, 2), gv_BHSV.transpose(1, 2), None, None


def _by_head(t_BSHX: Tensor) -> Tensor:
    """(B, H, S, X), each head's features one after the other: a batch of products that stays in a CPU's cache."""
    return t_BSHX.transpose(1, 2).contiguous()


def _blocks(length: int, starts_BS: Tensor | None, batch: int) -> Iterator[tuple[int, slice, slice, Tensor, Tensor]]:
    """Sequence, queries and keys of a block; from which to before which of these keys each query sees.

    Keys begin with a whole block of queries, so that products are of few sizes.
    """
    begins_BS = torch.zeros(batch, length, dtype=torch.int64) if starts_BS is None else starts_BS
    ends_S = torch.arange(1, length + 1)
    for row, firsts in enumerate(begins_BS[:, ::_BLOCK].tolist()):
        for start, first in zip(range(0, length, _BLOCK), firsts, strict=True):
            queries = slice(start, min(start + _BLOCK, length))
            keys = slice(first // _BLOCK * _BLOCK, queries.stop)
            yield row, queries, keys, begins_BS[row, queries] - keys.start, ends_S[queries] - keys.start


def _softmax(scores_HXY: Tensor, begins_X: Tensor, ends_X: Tensor, scale: float) -> None:
    """Softmax in place of `scale` times what each query sees; zero for what it does not."""
    if has_kernels(scores_HXY):
        from tasks.algorithm import kernels

        kernels.softmax(scores_HXY.numpy(), begins_X.numpy(), ends_X.numpy(), scale)
        return
    places_Y = torch.arange(scores_HXY.shape[-1])
    unseen_XY = (places_Y < begins_X.unsqueeze(1)) | (places_Y >= ends_X.unsqueeze(1))
    scores_HXY.copy_((scores_HXY * scale).masked_fill_(unseen_XY, -torch.inf).softmax(dim=-1))


def _softmax_backward(weights_HXY: Tensor, grad_HXY: Tensor, scale: float) -> Tensor:
    if has_kernels(grad_HXY):
        from tasks.algorithm import kernels

        kernels.softmax_backward(weights_HXY.numpy(), grad_HXY.numpy(), scale)
        return grad_HXY
    return torch._softmax_backward_data(grad_HXY, weights_HXY, -1, weights_HXY.dtype).mul_(scale)
