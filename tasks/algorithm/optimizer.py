"""Gradients -> new weights: Muon for matrices, AdamW for embedding, head, router and norms; and the rate's schedule."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from tasks.algorithm.model import Model
from tasks.params import Train

# N matrices of a stack, R rows (outputs), C columns (inputs).

# Quintic that takes singular values towards 1 in a few steps (Keller Jordan, https://kellerjordan.github.io/posts/muon/).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
_MOMENTUM = 0.95
_ADAMW_BETAS = (0.9, 0.95)
_ADAMW_EPS = 1e-8
# Not matrices in Muon's sense: their rows are looked up, or are classifiers of their own.
_ADAMW_NAMES = ("embed_tokens.weight", "lm_head.weight", "mlp.gate.weight")
# Rows are features of one head after the other. GLM-5 takes each head's apart (https://arxiv.org/abs/2602.15763,
# "Muon Split"); Muon as it was published takes all of a matrix.
_HEADS_NAMES = ("q_b_proj.weight", "kv_b_proj.weight")
# Matrices of this size together, with what is made of them, stay in the second cache of a CPU core.
_CHUNK_BYTES = 1 << 19


# Updates of weights, by name, and how many heads' rows are taken apart -> directions, in the same order and of the same
# shapes. A third of the work of a small step, and the same on all workers: `tasks/compute/share.py` shares it out.
Directions = Callable[[Mapping[str, Tensor], int], Sequence[Tensor]]


class Optimizer:
    """Both optimizers as one; `step` takes the schedule's share of the peak rates.

    Args:
        weights: by name, all of a model's or a worker's rows of each; their gradients are those of the same rows.
        training: the rates.
        directions: makes Muon's directions of as many rows.
        shapes: of the whole weights.
        n_heads: of the model.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        training: Train,
        directions: Directions,
        shapes: Mapping[str, torch.Size],
        *,
        n_heads: int,
    ) -> None:
        self._training = training
        self._directions = directions
        self._heads = n_heads if training.muon_per_head else 1
        self._matrices: dict[str, nn.Parameter] = {}
        self._others: dict[str, nn.Parameter] = {}
        for name, weight in weights.items():
            is_matrix = weight.dim() >= 2 and not name.endswith(_ADAMW_NAMES)
            (self._matrices if is_matrix else self._others)[name] = weight
        self._scales = {name: _scale(name, shapes[name], self._heads) for name in self._matrices}
        self._momentum = {name: torch.zeros_like(weight) for name, weight in self._matrices.items()}
        self._adamw = {
            "exp_avg": {name: torch.zeros_like(weight) for name, weight in self._others.items()},
            "exp_avg_sq": {name: torch.zeros_like(weight) for name, weight in self._others.items()},
            "step": {name: torch.tensor(0.0) for name in self._others},
        }

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for weight in [*self._matrices.values(), *self._others.values()]:
            weight.grad = None

    @torch.no_grad()
    def step(self, lr_scale: float) -> None:
        """One update with `lr_scale` times the peak rates."""
        self._step_matrices(lr_scale * self._training.learning_rate)
        self._step_others(lr_scale * self._training.adamw_learning_rate)

    def _step_matrices(self, rate: float) -> None:
        """Muon with Nesterov momentum, and decoupled weight decay."""
        updates: dict[str, Tensor] = {}
        for name, weight in self._matrices.items():
            if weight.grad is not None:
                momentum = self._momentum[name].lerp_(weight.grad, 1 - _MOMENTUM)
                updates[name] = weight.grad.lerp(momentum, _MOMENTUM)
        for name, direction in zip(updates, self._directions(updates, self._heads), strict=True):
            weight = self._matrices[name]
            weight.mul_(1 - rate * self._training.weight_decay)
            weight.add_(direction, alpha=-rate * self._scales[name])

    def _step_others(self, rate: float) -> None:
        """AdamW (https://arxiv.org/abs/1711.05101); as a function, since its class loads torch's compiler: 1.6 s."""
        names = [name for name, weight in self._others.items() if weight.grad is not None]
        weights: list[Tensor] = [self._others[name] for name in names]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        means, squares, steps = ([self._adamw[kind][name] for name in names] for kind in self._adamw)
        adamw(
            weights, gradients, means, squares, [], steps, foreach=False, fused=True, amsgrad=False, maximize=False,
            lr=rate, beta1=_ADAMW_BETAS[0], beta2=_ADAMW_BETAS[1], eps=_ADAMW_EPS, weight_decay=0.0,
        )  # fmt: skip

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """All that a resumed run needs: of each kind a tensor a weight, by the weight's name."""
        return {"momentum": self._momentum, **self._adamw}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            KeyError: a weight of the model has nothing in `state`.
        """
        for kind, tensors in self.state_dict().items():
            for name, value in tensors.items():
                value.copy_(state[kind][name])


def build_optimizer(model: Model, training: Train) -> Optimizer:
    """Optimizer for all weights of a model that lies whole here."""
    weights = dict(model.named_parameters())
    shapes = {name: weight.shape for name, weight in weights.items()}
    return Optimizer(weights, training, orthogonalize_all, shapes, n_heads=model.shape.n_heads)


def orthogonalize_all(updates: Mapping[str, Tensor], heads: int) -> list[Tensor]:
    """Directions of updates, each of its update's shape."""
    return [orthogonalize(as_stack(name, update, heads)).view_as(update) for name, update in updates.items()]


def orthogonalize(matrices_NRC: Tensor) -> Tensor:
    """About U V^T of each matrix U S V^T: in bf16 on a GPU, in fp32 and a cache full at a time on a CPU."""
    if matrices_NRC.is_cuda:
        return _newton_schulz(matrices_NRC.bfloat16()).to(matrices_NRC.dtype)
    chunk = max(1, _CHUNK_BYTES // matrices_NRC[0].nbytes)
    return torch.cat([_newton_schulz(part) for part in matrices_NRC.split(chunk)])


def clip_gradients(
    weights: Iterable[nn.Parameter], limit: float, norm_of: Callable[[list[Tensor]], Tensor] = nn.utils.get_total_norm
) -> float:
    """Scale gradients so that their global norm is at most `limit`; the norm before. Sums are in the weights' order."""
    weights = [weight for weight in weights if weight.grad is not None]
    norm = norm_of([weight.grad for weight in weights if weight.grad is not None])
    nn.utils.clip_grads_with_norm_(weights, limit, norm)
    return float(norm)


def schedule(step: int, steps: int, training: Train) -> float:
    """Share of the peak rate at step 0 <= step < steps: linear warm-up, constant, decay to nearly zero.

    Constant, then a fall (https://arxiv.org/abs/2405.18392); linear, or half a cosine (SGDR,
    https://arxiv.org/abs/1608.03983, section 3). A `decay_share` of all but the warm-up is the usual cosine schedule.
    """
    warmup, decay = round(steps * training.warmup_share), round(steps * training.decay_share)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if step >= steps - decay:
        left = (steps - step) / (decay + 1)
        return left if training.decay == "linear" else (1 - math.cos(math.pi * left)) / 2
    return 1.0


def _newton_schulz(x: Tensor) -> Tensor:
    a, b, c = _QUINTIC
    tall = x.shape[-2] > x.shape[-1]
    # The Gram matrix of the shorter side is the smaller one.
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _scale(name: str, shape: torch.Size, heads: int) -> float:
    """Keeps the change of a layer's output the same for every width (Jordan, as above)."""
    rows, columns = as_stack(name, torch.empty(shape, device="meta"), heads).shape[1:]
    return float(max(1.0, rows / columns) ** 0.5)


def as_stack(name: str, matrix: Tensor, heads: int) -> Tensor:
    """Matrices (N, R, C): stacked experts as they are, gate and up apart, a single matrix as a stack of one.

    What makes queries, keys and values of all heads is a stack of so many `heads`.
    """
    if name.endswith(_HEADS_NAMES):
        return matrix.unflatten(0, (heads, -1))
    stack = matrix if matrix.dim() == 3 else matrix.unsqueeze(0)
    return stack.unflatten(1, (2, -1)).flatten(0, 1) if "gate_up_proj" in name else stack
