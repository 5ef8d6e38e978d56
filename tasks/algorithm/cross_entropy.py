"""Hidden states and output head -> cross entropy, a chunk of logits at a time: all of them never exist at once."""

from typing import Any

import torch
from torch import Tensor

from tasks.algorithm.products import has_kernels

# T tokens, D width, V vocabulary, C tokens of a chunk.
_CHUNK_TOKENS = 512


def linear_cross_entropy(hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor) -> Tensor:
    """Sum over tokens of -log softmax(hidden @ weight.T)[target] in nats, fp32, a scalar with a gradient."""
    total: Tensor = _LinearCrossEntropy.apply(hidden_TD, weight_VD, targets_T)
    return total


@torch.no_grad()
def token_cross_entropy(hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor) -> Tensor:
    """-log softmax(hidden @ weight.T)[target] of each token in nats, fp32, without gradient."""
    chunks = zip(hidden_TD.split(_CHUNK_TOKENS), targets_T.split(_CHUNK_TOKENS), strict=True)
    return torch.cat([_losses((h @ weight_VD.T).float(), targets.unsqueeze(1))[0] for h, targets in chunks])


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradient of a chunk is made while its logits are at hand, so they are neither kept nor made twice.

    As in Liger Kernel (https://arxiv.org/abs/2410.10989, section 3.2).
    """

    @staticmethod
    def forward(ctx: Any, hidden_TD: Tensor, weight_VD: Tensor, targets_T: Tensor) -> Tensor:
        need_hidden, need_weight, _ = ctx.needs_input_grad
        grad_TD = torch.empty_like(hidden_TD) if need_hidden else None
        grad_VD = torch.zeros_like(weight_VD) if need_weight else None
        losses_T = []
        for start in range(0, len(targets_T), _CHUNK_TOKENS):
            chunk = slice(start, start + _CHUNK_TOKENS)
            targets_C1 = targets_T[chunk].unsqueeze(1)
            losses_C, softmax_CV = _losses((hidden_TD[chunk] @ weight_VD.T).float(), targets_C1)
            losses_T.append(losses_C)
            # d loss / d logits = softmax - one-hot
            minus_one_C1 = softmax_CV.new_full((1, 1), -1.0).expand_as(targets_C1)
            grad_CV = softmax_CV.scatter_add_(1, targets_C1, minus_one_C1).to(weight_VD.dtype)
            if grad_TD is not None:
                torch.mm(grad_CV, weight_VD, out=grad_TD[chunk])
            if grad_VD is not None:
                grad_VD.addmm_(grad_CV.T, hidden_TD[chunk])
        ctx.save_for_backward(grad_TD, grad_VD)
        return torch.cat(losses_T).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad_TD, grad_VD = ctx.saved_tensors
        return None if grad_TD is None else grad_TD * grad, None if grad_VD is None else grad_VD * grad, None


def _losses(logits_CV: Tensor, targets_C1: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of each token of a chunk (C,), and the softmax (C, V), which may stand where the logits were."""
    if has_kernels(logits_CV):
        from tasks.algorithm import kernels

        losses_C = logits_CV.new_empty(len(logits_CV))
        kernels.cross_entropy(logits_CV.numpy(), targets_C1.numpy(), losses_C.numpy())
        return losses_C, logits_CV
    margin_C1 = logits_CV.amax(dim=1, keepdim=True) - logits_CV.gather(1, targets_C1)
    softmax_CV = logits_CV.softmax(dim=1)
    # -log p[target] = (highest - target's logit) - log p[highest]: one exponential a logit serves loss and gradient,
    # and a target whose probability rounds to zero has a finite loss all the same.
    return (margin_C1 - softmax_CV.amax(dim=1, keepdim=True).log()).squeeze(1), softmax_CV
