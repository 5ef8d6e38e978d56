"""Gate and up side by side -> silu(gate) * up, times a weight a row where there is one."""

from typing import Any

import torch
from torch import Tensor

# P rows, I hidden width, F = 2 I: gate in the first half, up in the second.


def swiglu(h_PF: Tensor, weights_P: Tensor | None = None) -> Tensor:
    """SwiGLU's product (https://arxiv.org/abs/2002.05202): (P, I)."""
    product_PI: Tensor = _SwiGLU.apply(h_PF, weights_P)
    return product_PI


class _SwiGLU(torch.autograd.Function):
    """Keeps the sigmoid, the one costly part; all else is computed again from the inputs."""

    @staticmethod
    def forward(ctx: Any, h_PF: Tensor, weights_P: Tensor | None) -> Tensor:
        gate_PI, up_PI = h_PF.chunk(2, dim=-1)
        sigmoid_PI = gate_PI.sigmoid()
        ctx.save_for_backward(h_PF, sigmoid_PI, weights_P)
        product_PI = (gate_PI * sigmoid_PI).mul_(up_PI)
        return product_PI if weights_P is None else product_PI.mul_(weights_P.unsqueeze(1))

    @staticmethod
    def backward(ctx: Any, grad_PI: Tensor) -> tuple[Tensor, Tensor | None]:
        h_PF, sigmoid_PI, weights_P = ctx.saved_tensors
        gate_PI, up_PI = h_PF.chunk(2, dim=-1)
        gh_PF = torch.empty_like(h_PF)
        ggate_PI, gup_PI = gh_PF.chunk(2, dim=-1)
        silu_PI = gate_PI * sigmoid_PI
        gweights_P = None
        if weights_P is not None:
            gweights_P = (silu_PI * up_PI).mul_(grad_PI).sum(dim=-1)
            grad_PI = grad_PI * weights_P.unsqueeze(1)
        torch.mul(grad_PI, silu_PI, out=gup_PI)
        # d silu = sigmoid + silu * (1 - sigmoid)
        dsilu_PI = torch.addcmul(silu_PI, silu_PI, sigmoid_PI, value=-1).add_(sigmoid_PI)
        torch.mul(dsilu_PI.mul_(grad_PI), up_PI, out=ggate_PI)
        return gh_PF, gweights_P
