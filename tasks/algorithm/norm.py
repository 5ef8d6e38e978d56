"""Vectors -> vectors of root mean square 1, times a learned weight."""

from typing import Any

import torch
from torch import Tensor, nn

from tasks.algorithm.products import has_kernels


class RMSNorm(nn.Module):
    """x / rms(x) * weight (https://arxiv.org/abs/1910.07467), over the last dimension."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        norm = _CompiledNorm if has_kernels(self.weight) else _RMSNorm
        normed: Tensor = norm.apply(x.to(self.weight.dtype), self.weight, self.eps)
        return normed


class _CompiledNorm(torch.autograd.Function):
    """Each row is read once in forward, and while it is in the cache in backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        from tasks.algorithm import kernels

        x_ND = x.flatten(0, -2).contiguous()
        y_ND, scale_N = torch.empty_like(x_ND), x_ND.new_empty(len(x_ND))
        # A copy: PyTorch frees no memory that numpy has seen, and FSDP2 frees gathered weights.
        kernels.norm(x_ND.numpy(), weight.detach().clone().numpy(), eps, y_ND.numpy(), scale_N.numpy())
        ctx.save_for_backward(x_ND, weight, scale_N)
        return y_ND.view(x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        from tasks.algorithm import kernels

        x_ND, weight, scale_N = ctx.saved_tensors
        gx_ND, gweight = torch.empty_like(x_ND), torch.zeros_like(weight)
        grad_ND = grad.flatten(0, -2).contiguous()
        arrays = (t.numpy() for t in (x_ND, weight.detach().clone(), scale_N, grad_ND, gx_ND, gweight))
        kernels.norm_backward(*arrays)
        return gx_ND.view(grad.shape), gweight, None


class _RMSNorm(torch.autograd.Function):
    """The gradient in half the passes over memory that torch's own takes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, scale = torch.ops.aten._fused_rms_norm(x, weight.shape, weight, eps)
        ctx.save_for_backward(x, weight, scale)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, scale = ctx.saved_tensors
        # With u = x * scale: dx = scale * (g * w - u * mean(g * w * u)), dw = sum(g * u).
        unit = x * scale
        product = grad * unit
        mean = (product @ weight).unsqueeze(-1) / len(weight)
        gx = torch.addcmul(grad * weight, unit, mean, value=-1).mul_(scale)
        return gx, product.flatten(0, -2).sum(dim=0), None
