"""Gate and up side by side -> silu(gate) * up, times a weight a row where there is one."""

from typing import Any

import torch
from torch import Tensor

from tasks.algorithm.products import has_kernels

# N rows, I hidden width, F = 2 I: gate in the first half, up in the second.


def swiglu(h_NF: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """SwiGLU's product (https://arxiv.org/abs/2002.05202): (N, I)."""
    weights_N = h_NF.new_ones(len(h_NF)) if weights_N is None else weights_N
    product_NI: Tensor = _SwiGLU.apply(h_NF, weights_N)
    return product_NI


class _SwiGLU(torch.autograd.Function):
    """Keeps its inputs alone: to compute the rest again costs less than to write and to read it."""

    @staticmethod
    def forward(ctx: Any, h_NF: Tensor, weights_N: Tensor) -> Tensor:
        ctx.save_for_backward(h_NF, weights_N)
        return product(h_NF, weights_N)

    @staticmethod
    def backward(ctx: Any, grad_NI: Tensor) -> tuple[Tensor, Tensor]:
        h_NF, weights_N = ctx.saved_tensors
        _, gh_NF, gweights_N = gradients(h_NF, weights_N, grad_NI)
        return gh_NF, gweights_N


def product(h_NF: Tensor, weights_N: Tensor) -> Tensor:
    """`swiglu` outside of autograd."""
    gate_NI, up_NI = h_NF.chunk(2, dim=-1)
    if not has_kernels(h_NF):
        return (gate_NI * gate_NI.sigmoid()).mul_(up_NI).mul_(weights_N.unsqueeze(1))
    from tasks.algorithm import kernels

    out_NI = torch.empty_like(gate_NI, memory_format=torch.contiguous_format)
    kernels.swiglu(h_NF.numpy(), weights_N.numpy(), out_NI.numpy())
    return out_NI


def gradients(h_NF: Tensor, weights_N: Tensor, grad_NI: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The product (N, I) again, and the gradients of `h_NF` and `weights_N`."""
    gh_NF = torch.empty_like(h_NF)
    if has_kernels(h_NF):
        from tasks.algorithm import kernels

        product_NI, gweights_N = torch.empty_like(grad_NI), torch.empty_like(weights_N)
        arrays = (t.numpy() for t in (h_NF, weights_N, grad_NI, product_NI, gh_NF, gweights_N))
        kernels.swiglu_backward(*arrays)
        return product_NI, gh_NF, gweights_N
    gate_NI, up_NI = h_NF.chunk(2, dim=-1)
    ggate_NI, gup_NI = gh_NF.chunk(2, dim=-1)
    sigmoid_NI = gate_NI.sigmoid()
    silu_NI = gate_NI * sigmoid_NI
    product_NI = silu_NI * up_NI
    gweights_N = (product_NI * grad_NI).sum(dim=-1)
    grad_NI = grad_NI * weights_N.unsqueeze(1)
    torch.mul(grad_NI, silu_NI, out=gup_NI)
    # d silu = sigmoid + silu * (1 - sigmoid)
    dsilu_NI = torch.addcmul(silu_NI, silu_NI, sigmoid_NI, value=-1).add_(sigmoid_NI)
    torch.mul(dsilu_NI.mul_(grad_NI), up_NI, out=ggate_NI)
    return product_NI.mul_(weights_N.unsqueeze(1)), gh_NF, gweights_N
